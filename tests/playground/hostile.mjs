// Hostile texts: they must not block the page, and must never be parsed as HTML.

const pod = (name, rest = "") => `apiVersion: v1\nkind: Pod\nmetadata: { name: ${JSON.stringify(name)} }\nspec: { containers: [{ name: web, image: web }]${rest} }\n`;
const script = `<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script><svg onload="globalThis.hacked=1">`;
const MEGABYTE = 1024 * 1024;

/** Concatenates the texts that `make` returns for 0, 1, 2, … up to the given length. */
function repeated(bytes, make) {
  const parts = [];
  for (let i = 0, length = 0; length < bytes; i++) {
    parts.push(make(i));
    length += parts[i].length;
  }
  return parts.join("");
}

export const hostile = {
  "10 MB of Deployments, all denied": () =>
    repeated(10 * MEGABYTE, (i) => `---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web-${i} }\nspec:\n  template:\n    metadata: { labels: { app: web-${i} } }\n    spec:\n      hostNetwork: true\n      containers:\n      - name: web\n        image: web\n        securityContext: { privileged: true }\n`),
  "10 MB in one line": () => `a: ${"x".repeat(10 * MEGABYTE)}`,
  "10 MB of newlines": () => "\n".repeat(10 * MEGABYTE),
  "10 MB of documents": () => "--- 1\n".repeat((10 * MEGABYTE) / 6),
  "10 MB of NetworkPolicies": () =>
    repeated(10 * MEGABYTE, (i) => `---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: n${i} }\nspec: { podSelector: { matchLabels: { app: web-${i} } }, policyTypes: [Ingress] }\n`),
  "a pod with 100,000 containers": () =>
    `apiVersion: v1\nkind: Pod\nmetadata: { name: many }\nspec:\n  containers:\n${repeated(6 * MEGABYTE, (i) => `  - { name: c${i}, image: web, securityContext: { privileged: true } }\n`)}`,
  "1,999 pods and a NetworkPolicy for each": () =>
    repeated(MEGABYTE / 4, (i) => `---\n${pod(`p${i}`)}---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: n${i} }\nspec: { podSelector: {}, policyTypes: [Ingress], ingress: [{ from: [{ ipBlock: { cidr: 10.${i % 256}.${(i >> 8) % 256}.0/24 } }] }] }\n`),
  "an error before aliases that explode": () =>
    `x: *\n---\napiVersion: v1\nkind: List\np: &p ${"{ apiVersion: v1, kind: Pod, metadata: { name: a, labels: { app: a } }, spec: { containers: [{ name: web, image: web }] } }"}\n` +
    `n: &n { apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: n }, spec: { podSelector: {} } }\nitems:\n${"- *p\n- *n\n".repeat(1200)}`,
  "2,000 Deployments that are changed": () =>
    repeated(MEGABYTE / 2, (i) => `---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: c${i} }\nspec:\n  template:\n    metadata: { annotations: { pratique.dev/inject-exporter: redis } }\n    spec: { containers: [{ name: redis, image: "redis:8" }] }\n`),
  "anchors that explode": () =>
    `a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(", ")}]\n`).join("")}`,
  "200,000 brackets": () => "[".repeat(200_000),
  "200,000 deep in blocks": () => repeated(MEGABYTE, (i) => `${" ".repeat(i % 1000)}a:\n`),
  "NUL bytes": () => `apiVersion: v1\0\nkind: Pod\0\n${"\0".repeat(1000)}`,
  "control characters, directions and halves of characters": () => pod("a\u202e\uffff\ufffe\u2066\ud800\udfff\u0007\u001b[31m"),
  "a script in a name": () => pod(script, ", hostNetwork: true"),
  "a script in every place": () =>
    `apiVersion: ${JSON.stringify(script)}\nkind: Pod\nmetadata: { name: x, annotations: { ${JSON.stringify(script)}: ${JSON.stringify(script)} } }\n---\n` +
    `apiVersion: v1\nkind: Pod\nmetadata: { name: y, annotations: { pratique.dev/inject-exporter: ${JSON.stringify(script)} } }\nspec: { ${JSON.stringify(script)}: 1, hostPID: true, containers: [{ name: ${JSON.stringify(script)}, image: ${JSON.stringify(script)}, securityContext: { capabilities: { add: [${JSON.stringify(script)}] } } }] }\n---\n` +
    `${JSON.stringify(script)}: [\n`,
  "a script on the map": () =>
    `apiVersion: v1\nkind: Pod\nmetadata: { name: ${JSON.stringify(script)}, namespace: ${JSON.stringify(`"><script>hacked=1</script>`)}, labels: { a: b } }\nspec: { containers: [{ name: web, image: web, ports: [{ name: ${JSON.stringify(script)}, containerPort: 80 }] }] }\n---\n` +
    `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: ${JSON.stringify(script)}, namespace: ${JSON.stringify(`"><script>hacked=1</script>`)} }\nspec: { podSelector: {}, policyTypes: [Ingress], ingress: [{ ports: [{ port: 80 }] }] }\n`,
  "a script in a case": () => `# ${script}\nobject: { apiVersion: v1, kind: Pod, metadata: { name: ${JSON.stringify(script)} }, spec: { hostPID: true, containers: [{ name: web }] } }\n${JSON.stringify(script)}: 1\n`,
};
