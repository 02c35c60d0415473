//! What is served otherwise than whoever wrote it may expect, though nothing is wrong.
//!
//! Kept by route, so that a revision adds and takes away what it touches, and told in one
//! line per kind: how many routes there are, and the names of a few.

use crate::router::Pattern;
use imbl::OrdSet;
use model::entities::Route;
use model::value::PathHandling;
use model::{Config, Id};

/// How many routes are named in a line.
const NAMED: usize = 5;

/// Something there is to say about a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remark {
    /// Its `path_handling` is not what happens.
    PathHandling,
    /// Its expression has `net.port`.
    Dated,
    /// Its expression is asked of every request.
    Unanchored,
    /// It is for streams, and nobody listens for them.
    Stream,
}

impl Remark {
    const ALL: [Remark; 4] =
        [Remark::PathHandling, Remark::Dated, Remark::Unanchored, Remark::Stream];

    /// What is said of all such routes, up to how many there are.
    fn text(self) -> &'static str {
        match self {
            Remark::PathHandling => {
                "path_handling = v1 has no effect, paths are joined as with v0; routes that have it"
            }
            Remark::Dated => {
                "net.port in expressions is deprecated, write net.dst.port; routes that have it"
            }
            Remark::Unanchored => {
                "expressions that ask for no host, path or header (by ==, ^= or a regular \
                 expression tied to the start) are evaluated for every request; such routes"
            }
            Remark::Stream => {
                "no stream_listen is set, so that nothing is served over tcp, tls, udp and \
                 tls_passthrough; routes for them"
            }
        }
    }
}

/// What there is to say about the routes of a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remarks([OrdSet<Id<Route>>; Remark::ALL.len()]);

/// A line for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Something is not done that was asked for, or will not be.
    Warning(String),
    /// Something could be done better.
    Hint(String),
}

impl Remarks {
    /// Notes what there is to say about a route for requests.
    pub(super) fn note(&mut self, route: &Route, pattern: &Pattern) {
        let is_v1 = route.path_handling == Some(PathHandling::V1);
        self.set(Remark::PathHandling, route.id, is_v1);
        self.set(Remark::Dated, route.id, pattern.is_dated());
        self.set(Remark::Unanchored, route.id, pattern.is_unanchored());
    }

    /// The same about a route for streams.
    pub(super) fn note_stream(&mut self, route: &Route, is_dated: bool, is_served: bool) {
        self.set(Remark::Stream, route.id, !is_served);
        self.set(Remark::Dated, route.id, is_dated);
    }

    /// There is nothing to say about this route.
    pub(super) fn forget(&mut self, route: Id<Route>) {
        Remark::ALL.into_iter().for_each(|remark| self.set(remark, route, false));
    }

    fn set(&mut self, remark: Remark, route: Id<Route>, is_so: bool) {
        let routes = &mut self.0[remark as usize];
        if is_so {
            routes.insert(route);
        } else if routes.contains(&route) {
            routes.remove(&route);
        }
    }

    /// A line for each kind of which there are routes that `before` had not.
    pub(super) fn news(&self, before: &Remarks, config: &Config) -> Vec<News> {
        let kinds = Remark::ALL.into_iter().zip(&self.0).zip(&before.0);
        let news = kinds.filter(|((_, now), before)| !now.is_subset(*before));
        news.map(|((remark, now), _)| {
            let line = line(remark.text(), now, config);
            if remark == Remark::Unanchored { News::Hint(line) } else { News::Warning(line) }
        })
        .collect()
    }
}

/// Such as `…; routes that have it: 7 (a, b, c, d, e, …)`.
fn line(what: &str, routes: &OrdSet<Id<Route>>, config: &Config) -> String {
    let name = |id: &Id<Route>| {
        let name = config.get(*id).and_then(|route| route.name.as_ref());
        name.map_or_else(|| id.to_string(), ToString::to_string)
    };
    let names: Vec<_> = routes.iter().take(NAMED).map(name).collect();
    let more = if routes.len() > NAMED { ", …" } else { "" };
    format!("{what}: {} ({}{more})", routes.len(), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{RouterOptions, Snapshot, compile};
    use model::testing::{revision, route};
    use model::{Flavor, Listed};
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn each_kind_is_told_when_there_are_more_of_it() {
        let mut config = Config::default();
        for number in 0..7 {
            let name = format!("v1-{number}");
            config.write(route(&name).path("/a").with("path_handling", "v1").build());
        }
        let path = r#"http.path == "/a""#;
        let dated = format!("{path} && net.port == 80");
        config.write(route("dated").with("expression", dated).build());
        config.write(route("query").with("expression", r#"http.queries.a == "1""#).build());
        config.write(route("method").with("expression", r#"http.method == "PUT""#).build());
        let tcp = route("tcp").with("protocols", json!(["tcp"]));
        let tcp = tcp.with("expression", "net.port == 80").build();
        config.write(tcp.clone());
        let first = compiled(&config, &start());
        let [v1, dated, everywhere, streams]: [String; 4] =
            told(&first, &start()).try_into().expect("four");
        assert!(v1.starts_with("path_handling = v1 has no effect"), "{v1}");
        assert!(v1.contains(": 7 (v1-") && v1.ends_with(", …)"), "{v1}");
        assert!(dated.contains("routes that have it: 2 ("), "{dated}");
        assert!(everywhere.contains("such routes: 2 ("), "{everywhere}");
        assert!(streams.ends_with("routes for them: 1 (tcp)"), "{streams}");

        config.write(route("other").path("/b").build());
        let second = compiled(&config, &first);
        assert_eq!(told(&second, &first), [""; 0]);
        config.delete(Route::KIND, tcp.id.uuid());
        let third = compiled(&config, &second);
        assert_eq!(told(&third, &second), [""; 0]);
        assert_eq!(told(&third, &start()).len(), 3);
    }

    fn start() -> Arc<Snapshot> {
        let router_flavor = Flavor::Expressions;
        Snapshot::empty_for(RouterOptions { router_flavor, ..RouterOptions::default() })
    }

    fn compiled(config: &Config, previous: &Snapshot) -> Arc<Snapshot> {
        Arc::new(compile(&revision(1, config.clone()), previous).expect("it can be served"))
    }

    fn told(now: &Snapshot, before: &Snapshot) -> Vec<String> {
        let news = now.news_since(&before.remarks).into_iter();
        news.map(|(News::Warning(line) | News::Hint(line))| line).collect()
    }
}
