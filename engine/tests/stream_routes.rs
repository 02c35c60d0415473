//! The table of routes for streams against itself, one route at a time and in any order.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use engine::router::{Over, StreamView};
use engine::snapshot::{Snapshot, compile};
use model::entities::Route;
use model::testing::{revision, route};
use model::{Config, Id};
use proptest::prelude::*;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

fn compiled<'r>(routes: impl IntoIterator<Item = &'r Route>, previous: &Snapshot) -> Arc<Snapshot> {
    let mut config = Config::default();
    routes.into_iter().for_each(|route| drop(config.write(route.clone())));
    Arc::new(compile(&revision(1, config), previous).unwrap())
}

fn found(snapshot: &Snapshot, view: &StreamView<'_>) -> Option<Id<Route>> {
    snapshot.streams.find(view).map(|route| route.id)
}

/// Some of these, or nothing.
fn some(of: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<serde_json::Value>>> {
    let one = prop::sample::select(of).prop_map(|text| serde_json::from_str(text).unwrap());
    prop::option::of(prop::collection::vec(one, 1..3))
}

fn a_route() -> impl Strategy<Value = Route> {
    let protocols = prop::sample::select(&[
        r#"["tcp"]"#,
        r#"["tls"]"#,
        r#"["udp"]"#,
        r#"["tcp", "tls"]"#,
        r#"["tls_passthrough"]"#,
    ]);
    let ends = &[
        r#"{"ip": "10.0.0.1"}"#,
        r#"{"ip": "10.0.0.0/8"}"#,
        r#"{"port": 1}"#,
        r#"{"port": 2}"#,
        r#"{"ip": "10.0.0.1", "port": 1}"#,
    ];
    let names = &[r#""a.io""#, r#""B.io""#, r#""*.io""#, r#""a.*""#, r#""x.a.io.""#];
    (protocols, some(names), some(ends), some(ends)).prop_map(|(protocols, names, from, to)| {
        let protocols: serde_json::Value = serde_json::from_str(protocols).unwrap();
        let speaks_tls = protocols.to_string().contains("tls");
        let is_passed = protocols.to_string().contains("pass");
        let mut built = route("r").with("protocols", protocols);
        built = built.with("name", serde_json::Value::Null);
        let names = names.filter(|_| speaks_tls);
        let names = names.or_else(|| is_passed.then(|| vec![json!("a.io")]));
        let has_any = names.is_some() || from.is_some() || to.is_some();
        let from = from.or_else(|| (!has_any).then(|| vec![json!({ "ip": "10.0.0.0/8" })]));
        for (field, values) in [("snis", names), ("sources", from), ("destinations", to)] {
            if let Some(values) = values {
                built = built.with(field, values);
            }
        }
        built.build()
    })
}

fn a_view() -> impl Strategy<Value = (Over, Option<&'static str>, SocketAddr, SocketAddr)> {
    let end = || {
        let ip = prop::sample::select(&["10.0.0.1", "10.0.0.2", "11.0.0.1"]);
        (ip, 1..4_u16).prop_map(|(ip, port)| SocketAddr::new(ip.parse().unwrap(), port))
    };
    let over = prop::sample::select(&[Over::Tcp, Over::Tls, Over::Udp]);
    let names = prop::sample::select(&["a.io", "A.IO", "b.io", "x.a.io", "a.com", "c.net"]);
    (over, prop::option::of(names), end(), end())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// The best of all is the best of any two of them, and nobody else takes the stream.
    #[test]
    fn the_best_is_found_however_routes_are_looked_up(
        routes in prop::collection::vec(a_route(), 1..10),
        views in prop::collection::vec(a_view(), 1..20),
    ) {
        let empty = Snapshot::empty();
        let all = compiled(&routes, &empty);
        for (over, sni, source, destination) in views {
            let sni = sni.filter(|_| over == Over::Tls).map(str::as_bytes);
            let view = StreamView { over, sni, source, destination };
            let takers: Vec<_> = routes
                .iter()
                .filter(|one| found(&compiled([*one], &empty), &view).is_some())
                .collect();
            let best = found(&all, &view);
            prop_assert_eq!(best.is_some(), !takers.is_empty());
            for one in &takers {
                let winner = routes.iter().find(|route| Some(route.id) == best).unwrap();
                prop_assert_eq!(found(&compiled([*one, winner], &empty), &view), best);
            }
        }
    }

    /// A table that was patched finds what one that was built finds.
    #[test]
    fn a_patched_table_is_as_one_that_was_built(
        before in prop::collection::vec(a_route(), 0..10),
        after in prop::collection::vec(a_route(), 0..10),
        kept in 0..10_usize,
        views in prop::collection::vec(a_view(), 1..20),
    ) {
        let empty = Snapshot::empty();
        let first = compiled(&before, &empty);
        let after: Vec<_> = before.iter().take(kept).cloned().chain(after).collect();
        let (patched, built) = (compiled(&after, &first), compiled(&after, &empty));
        prop_assert_eq!(patched.streams.len(), after.len());
        for (over, sni, source, destination) in views {
            let view = StreamView { over, sni: sni.map(str::as_bytes), source, destination };
            prop_assert_eq!(found(&patched, &view), found(&built, &view));
        }
    }
}
