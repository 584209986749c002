// Applies JSON Patches as the API server does, with its library and options (k8s.io/apiserver,
// pkg/admission/plugin/webhook/mutating/dispatcher.go). Each line of standard input is an object with `object` and
// `patch`, and each line of standard output is the patched object.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for number := 1; lines.Scan(); number++ {
		var asked struct{ Object, Patch json.RawMessage }
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fail(number, err)
		}
		patch, err := jsonpatch.DecodePatch(asked.Patch)
		if err != nil {
			fail(number, err)
		}
		patched, err := patch.Apply(asked.Object)
		if err != nil {
			fail(number, err)
		}
		fmt.Println(string(patched))
	}
	if err := lines.Err(); err != nil {
		fail(0, err)
	}
}

func fail(line int, err error) {
	fmt.Fprintf(os.Stderr, "json-patch: line %d: %v\n", line, err)
	os.Exit(1)
}
