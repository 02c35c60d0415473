//! A REST API with parameters in its paths: the operations of GitHub's, about 660 of them,
//! as its reference lists them, one path a line with the methods it has.
//!
//! Kong knows no such parameters: an operation is a route whose path is a regular
//! expression, with a higher priority the more of it is spelt out, since `/a/{id}` matches
//! what `/a/new` is for.

use std::sync::LazyLock;

/// What a client may do with a path.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The method.
    pub method: &'static str,
    /// The path, with parameters in braces.
    pub template: &'static str,
}

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let of_line = |line: &'static str| {
        let (methods, template) = line.rsplit_once(' ').expect("methods and a path");
        methods.split(' ').map(move |method| Operation { method, template })
    };
    include_str!("rest/github.txt").lines().flat_map(of_line).collect()
});

/// All operations.
pub fn operations() -> &'static [Operation] {
    &OPERATIONS
}

impl Operation {
    /// The path of a route that serves it: a regular expression with a group for each
    /// parameter.
    pub fn route_path(&self) -> String {
        let group = |name: &str| format!("(?<{name}>[^#?/]+)");
        format!("~{}$", self.with_parameters(group))
    }

    /// Its `regex_priority`: how many segments are spelt out.
    pub fn priority(&self) -> usize {
        self.template.split('/').filter(|segment| !segment.starts_with('{')).count()
    }

    /// A path that a client asks for.
    pub fn example(&self, number: usize) -> String {
        self.with_parameters(|name| format!("{name}-{number}"))
    }

    fn with_parameters(&self, value: impl Fn(&str) -> String) -> String {
        let segment = |segment: &str| {
            let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            name.map_or_else(|| segment.to_owned(), &value)
        };
        self.template.split('/').map(segment).collect::<Vec<_>>().join("/")
    }
}
