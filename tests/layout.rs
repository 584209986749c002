//! Checks the layout of the code: short files and functions, and no dependency cycles between modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use conformance::root;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// The longest function, in lines.
const LONGEST_FUNCTION: usize = 60;
/// The longest file, in lines, without its tests.
const LONGEST_FILE: usize = 300;
/// Files that contain only a table, and have no limit.
const TABLES: [&str; 2] = ["policies/_kubernetes/src/exporters/table.rs", "policies/_catalog/src/cases.rs"];

/// A source file of a shipped crate.
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

/// The sources of all crates except the tests.
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
    assert!(long.is_empty(), "split these files by topic:\n{}", long.join("\n"));
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

/// Types of the whole workspace, tests included, have different names, so that a name says which type it is.
#[test]
fn no_two_types_share_a_name() {
    let mut files = Vec::new();
    for folder in ["policies", "webhook-server", "tests"] {
        walk(&root().join(folder), &mut files);
    }
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source can be read");
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let path = file.strip_prefix(root()).expect("it is in the repository").display().to_string();
        let mut found = Types::default();
        found.visit_file(&parsed);
        for name in found.0 {
            types.entry(name).or_default().push(path.clone());
        }
    }
    assert!(types.len() > 300, "the walk finds the types");
    types.retain(|_, files| files.len() > 1);
    assert!(types.is_empty(), "types with the same name: {types:#?}");
}

/// The names of the types that a file declares; associated types are named by their trait.
#[derive(Default)]
struct Types(Vec<String>);

impl<'ast> Visit<'ast> for Types {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.0.push(item.ident.to_string());
    }
}

/// The functions of a file, and their number of lines.
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

/// Sibling modules may depend on each other in one direction only. A parent and its children may depend on each other.
#[test]
fn modules_have_no_dependency_cycles() {
    let sources = sources();
    let crates: BTreeSet<&PathBuf> = sources.iter().map(|source| &source.krate).collect();
    let mut cycles = Vec::new();
    for krate in crates {
        let own: Vec<&ModuleSource> = sources.iter().filter(|source| source.krate == *krate).collect();
        let modules: BTreeSet<&[String]> = own.iter().map(|source| source.module.as_slice()).collect();
        // By parent: which of its child modules depend on which others.
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
                if let Some(cycle) = cycle(module, &needs) {
                    let name =
                        krate.strip_prefix(root()).expect("it is in the repository").display().to_string();
                    cycles.push(format!("{name} {}: {}", parent.join("::"), cycle.join(" -> ")));
                }
            }
        }
    }
    assert!(cycles.is_empty(), "{}", cycles.join("\n"));
}

/// The shortest dependency cycle through a module.
fn cycle(module: &str, needs: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
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

/// The paths in a file that refer to its own crate, from the crate's root.
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
            // A child module, which its parent may use, or another crate.
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

/// The command line without the server must not depend on TLS, HTTP or a Kubernetes client.
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
    // This crate parses PEM and contains no TLS.
    let is_pem = |name: &str| name == "rustls-pki-types";
    let name = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let found: Vec<String> = tree
        .lines()
        .map(name)
        .filter(|name| !is_pem(name))
        .filter(|name| of_server.iter().any(|part| name == part || name.starts_with(&format!("{part}-"))))
        .collect();
    assert!(found.is_empty(), "these crates must be only in the feature `server`: {found:?}");
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
