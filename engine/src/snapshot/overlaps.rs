//! Warns of routes that one order puts before each other and the other order behind.
//!
//! Each revision that is published is looked at afterwards, in the background: nobody waits
//! for it, and one that was replaced meanwhile is looked at together with the next. What is
//! found of a revision is one line of log, however much it is.

use super::Snapshot;
use crate::router::RouteTable;
use crate::router::overlap::{Found, Overlaps};
use model::entities::Route;
use model::{Config, Id, RevisionId};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// How many pairs are named.
const NAMED: usize = 3;

/// Looks at revisions as long as it is there, and at the last one it was given.
pub(super) struct Watch {
    newest: watch::Sender<Option<Revised>>,
}

/// What of a snapshot is looked at. It is no snapshot, of which it is counted who holds one.
#[derive(Clone)]
struct Revised {
    revision: RevisionId,
    config: Config,
    routes: RouteTable,
}

impl Watch {
    /// Begins with nothing, on the runtime this is called on.
    pub(super) fn start() -> Watch {
        let (newest, news) = watch::channel(None);
        tokio::spawn(look(news));
        Watch { newest }
    }

    /// Has a snapshot looked at.
    pub(super) fn look_at(&self, snapshot: &Snapshot) {
        let Snapshot { id, config, routes, .. } = snapshot;
        let (config, routes) = (config.clone(), routes.clone());
        self.newest.send_replace(Some(Revised { revision: *id, config, routes }));
    }
}

async fn look(mut news: watch::Receiver<Option<Revised>>) {
    let mut overlaps = Overlaps::default();
    while news.changed().await.is_ok() {
        let Some(revised) = news.borrow_and_update().clone() else { continue };
        let looking = spawn_blocking(move || {
            let found = overlaps.since(&revised.config, &revised.routes);
            (overlaps, warning(&found, &revised.config), revised.revision)
        });
        match looking.await {
            Ok((so_far, warning, revision)) => {
                overlaps = so_far;
                if let Some(warning) = warning {
                    tracing::warn!(%revision, "{warning}");
                }
            }
            Err(error) => {
                tracing::error!("looking for overlapping routes was given up: {error}");
                overlaps = Overlaps::default();
            }
        }
    }
}

/// What there is to say of a revision, if anything.
fn warning(found: &Found, config: &Config) -> Option<String> {
    let name = |id: &Id<Route>| {
        let route = config.get(*id);
        let name = route.and_then(|route| route.name.as_ref());
        name.map_or_else(|| id.to_string(), |name| name.as_str().to_owned())
    };
    let Found { certain, possible, is_cut_short } = found;
    let count = certain.len() + possible.len();
    if count == 0 {
        let cut = "there are too many routes that may overlap to say on which pairs router_priority decides";
        return is_cut_short.then(|| cut.to_owned());
    }
    let certain = certain.iter().map(|overlap| {
        let (effective, documented) = (name(&overlap.effective), name(&overlap.documented));
        format!("{effective} or {documented} (as for {})", overlap.witness)
    });
    let possible = possible.iter().map(|(one, other)| {
        format!("{} and {}, if a request matches both", name(one), name(other))
    });
    let told: Vec<_> = certain.chain(possible).take(NAMED).collect();
    let pairs = if count == 1 { "1 pair".to_owned() } else { format!("{count} pairs") };
    let least = if *is_cut_short { "at least " } else { "" };
    let more = match count - told.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Some(format!(
        "{least}{pairs} of routes overlap, and which of a pair serves a request depends on \
         router_priority, the first with kong_effective, the second with documented: {}{more}; \
         `gateway explain` tells of one request",
        told.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::compile;
    use model::testing::{RouteBuilder, revision, route};

    #[test]
    fn pairs_are_named_and_the_rest_is_counted() {
        check(
            &[route("host").host("a.io"), route("path").path("/a").method("PUT")],
            Some(
                "1 pair of routes overlap, and which of a pair serves a request depends on \
             router_priority, the first with kong_effective, the second with documented: \
             host or path (as for PUT http://a.io/a); `gateway explain` tells of one request",
            ),
        );
        let hidden = [route("regex").path(r"~/\d+/a$"), route("path").path("/x/").method("PUT")];
        check(
            &hidden,
            Some(
                "1 pair of routes overlap, and which of a pair serves a request depends on \
             router_priority, the first with kong_effective, the second with documented: \
             regex and path, if a request matches both; `gateway explain` tells of one request",
            ),
        );
        check(&[route("a").path("/a"), route("b").path("/a/b")], None);
    }

    #[test]
    fn what_is_too_much_is_cut_short() {
        let paths = (0..600).map(|n| route(&format!("p{n}")).path("/").method("GET"));
        let hosts = (0..600).map(|n| route(&format!("h{n:03}")).host(&format!("h{n}.io")));
        let warning = warned(&paths.chain(hosts).collect::<Vec<_>>()).unwrap();
        assert!(warning.starts_with("at least "), "{warning}");
        assert!(warning.len() < 1000, "{warning}");
    }

    fn warned(routes: &[RouteBuilder]) -> Option<String> {
        let mut config = Config::default();
        for (number, route) in (0..).zip(routes) {
            let id = uuid::Uuid::from_u128(number);
            config.write(route.clone().with("id", id.to_string()).build());
        }
        let snapshot = compile(&revision(1, config.clone()), &Snapshot::empty()).unwrap();
        warning(&Overlaps::default().since(&config, &snapshot.routes), &config)
    }

    #[track_caller]
    fn check(routes: &[RouteBuilder], expected: Option<&str>) {
        assert_eq!(warned(routes).as_deref(), expected);
    }
}
