//! Is the code laid out as the design says: short files and functions, and no modules that need each other?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use conformance::root;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// The longest function, in lines.
const LONGEST_FUNCTION: usize = 60;
/// The longest file, in lines, without its tests.
const LONGEST_FILE: usize = 300;
/// Files that are tables.
const TABLES: [&str; 2] = ["policies/_kubernetes/src/exporters/table.rs", "policies/_catalog/src/cases.rs"];

/// A source file of a crate that is shipped.
struct ModuleSource {
    /// Its path from the root of the repository.
    path: String,
    /// The crate's folder.
    krate: PathBuf,
    /// The path of its module in the crate.
    module: Vec<String>,
    text: String,
    parsed: syn::File,
}

/// The sources of all crates but the tests.
fn sources() -> Vec<ModuleSource> {
    let mut crates: Vec<PathBuf> = list(&root().join("policies"));
    crates.push(root().join("webhook-server"));
    let mut found = Vec::new();
    for krate in crates.into_iter().filter(|krate| krate.join("Cargo.toml").is_file()) {
        let mut files = Vec::new();
        walk(&krate.join("src"), &mut files);
        for file in files.into_iter().filter(|file| !file.ends_with("tests.rs") && !file.ends_with("main.rs"))
        {
            let inside = file.strip_prefix(krate.join("src")).expect("it is in the crate").with_extension("");
            let module: Vec<String> = inside
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .filter(|part| part != "lib")
                .collect();
            let text = std::fs::read_to_string(&file).expect("a source can be read");
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let path = file.strip_prefix(root()).expect("it is in the repository").display().to_string();
            found.push(ModuleSource { path, krate: krate.clone(), module, text, parsed });
        }
    }
    assert!(found.len() > 100, "the walk finds the sources");
    found
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for source in sources().into_iter().filter(|source| !TABLES.contains(&source.path.as_str())) {
        let lines = source.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().lines().count();
        if lines > LONGEST_FILE {
            long.push(format!("{}: {lines} lines", source.path));
        }
    }
    assert!(long.is_empty(), "split these by what a reader looks for:\n{}", long.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for source in sources().into_iter().filter(|source| !TABLES.contains(&source.path.as_str())) {
        let mut functions = Functions::default();
        functions.visit_file(&source.parsed);
        let of_file = functions.0.into_iter().filter(|(_, lines)| *lines > LONGEST_FUNCTION);
        long.extend(of_file.map(|(name, lines)| format!("{}: {name} has {lines} lines", source.path)));
    }
    assert!(long.is_empty(), "at most {LONGEST_FUNCTION} lines:\n{}", long.join("\n"));
}

/// The functions of a file, and how many lines each has.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (start, end) = (signature.span().start().line, block.span().end().line);
        self.0.push((signature.ident.to_string(), end + 1 - start));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// Modules beside each other need each other in one direction only. A parent and its own children may know each other.
#[test]
fn modules_need_each_other_in_one_direction() {
    let sources = sources();
    let crates: BTreeSet<&PathBuf> = sources.iter().map(|source| &source.krate).collect();
    let mut circles = Vec::new();
    for krate in crates {
        let own: Vec<&ModuleSource> = sources.iter().filter(|source| source.krate == *krate).collect();
        let modules: BTreeSet<&[String]> = own.iter().map(|source| source.module.as_slice()).collect();
        // By parent: which of its children needs which others, and where.
        let mut needs: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for source in &own {
            let mut paths = Paths { module: &source.module, found: Vec::new() };
            paths.visit_file(&source.parsed);
            for path in paths.found {
                let Some(used) =
                    (0..=path.len()).rev().map(|end| &path[..end]).find(|path| modules.contains(path))
                else {
                    continue;
                };
                let common = source.module.iter().zip(used).take_while(|(a, b)| a == b).count();
                if let (Some(from), Some(to)) = (source.module.get(common), used.get(common)) {
                    let parent = source.module[..common].to_vec();
                    needs.entry(parent).or_default().entry(from.clone()).or_default().insert(to.clone());
                }
            }
        }
        for (parent, needs) in needs {
            for module in needs.keys() {
                if let Some(circle) = circle(module, &needs) {
                    let name =
                        krate.strip_prefix(root()).expect("it is in the repository").display().to_string();
                    circles.push(format!("{name} {}: {}", parent.join("::"), circle.join(" -> ")));
                }
            }
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// The shortest way from a module back to itself.
fn circle(module: &str, needs: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut ways = vec![vec![module.to_owned()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut next = Vec::new();
        for way in ways {
            for used in needs.get(way.last()?).into_iter().flatten() {
                let longer: Vec<String> = way.iter().chain([used]).cloned().collect();
                if used == module {
                    return Some(longer);
                }
                if seen.insert(used.clone()) {
                    next.push(longer);
                }
            }
        }
        ways = next;
    }
    None
}

/// The paths in a file that start in its own crate, from the crate's root.
struct Paths<'s> {
    module: &'s [String],
    found: Vec<Vec<String>>,
}

impl Paths<'_> {
    fn add(&mut self, segments: &[String]) {
        let Some((first, mut rest)) = segments.split_first() else { return };
        let mut path = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.to_vec(),
            "super" => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            // A child module, or another crate: the former is no circle with its parent.
            _ => return,
        };
        while let Some(("super", left)) = rest.split_first().map(|(first, left)| (first.as_str(), left)) {
            path.pop();
            rest = left;
        }
        path.extend(rest.iter().cloned());
        self.found.push(path);
    }

    fn add_tree(&mut self, tree: &syn::UseTree, mut before: Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_tree(&path.tree, before);
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.add_tree(item, before.clone()));
            }
            syn::UseTree::Name(name) => {
                before.push(name.ident.to_string());
                self.add(&before);
            }
            syn::UseTree::Rename(rename) => {
                before.push(rename.ident.to_string());
                self.add(&before);
            }
            syn::UseTree::Glob(_) => self.add(&before),
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&segments);
        visit::visit_path(self, path);
    }
}

/// Who only checks manifests needs no TLS, HTTP or client of Kubernetes.
#[test]
fn the_command_line_builds_without_the_server() {
    let arguments = [
        "tree",
        "--package",
        "webhook-server",
        "--no-default-features",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--locked",
    ];
    let output = std::process::Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(tree.contains("policy-catalog"), "{tree}");
    let of_server = ["axum", "hyper", "kube", "opentelemetry", "rustls", "tokio", "tower"];
    // It reads PEM, and has no TLS.
    let is_pem = |name: &str| name == "rustls-pki-types";
    let name = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let found: Vec<String> = tree
        .lines()
        .map(name)
        .filter(|name| !is_pem(name))
        .filter(|name| of_server.iter().any(|part| name == part || name.starts_with(&format!("{part}-"))))
        .collect();
    assert!(found.is_empty(), "they belong to the feature `server`: {found:?}");
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in list(folder) {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    paths
}
