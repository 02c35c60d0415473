//! Whatever the history, a delta leads to exactly the revision it was taken
//! from, and costs what changed.

use std::sync::Arc;

use model::entities::{Route, Service};
use model::testing::{revision, route, service};
use model::{Config, Delta, EntityKind, Id, Revision};
use proptest::prelude::*;

/// One step of a history over a handful of entities.
#[derive(Clone, Debug)]
enum Step {
    PutService(u8, u16),
    PutRoute(u8, u8),
    Delete(EntityKind, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6u8, 1..9999u16).prop_map(|(n, port)| Step::PutService(n, port)),
        (0..9u8, 0..6u8).prop_map(|(n, to)| Step::PutRoute(n, to)),
        (any::<bool>(), 0..9u8).prop_map(|(service, n)| {
            Step::Delete(if service { EntityKind::Service } else { EntityKind::Route }, n)
        }),
    ]
}

fn take(config: &mut Config, step: &Step) {
    match *step {
        Step::PutService(n, port) => {
            let id = uuid(n).to_string();
            config.write(service(&format!("s{n}")).with("id", id).with("port", port).build());
        }
        Step::PutRoute(n, to) => {
            let to = service("any").with("id", uuid(to).to_string()).build();
            let id = uuid(n).to_string();
            config.write(route(&format!("r{n}")).with("id", id).path("/").to(&to).build());
        }
        Step::Delete(kind, n) => {
            config.delete(kind, uuid(n));
        }
    }
}

fn uuid(n: u8) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x1000 + u128::from(n))
}

proptest! {
    #[test]
    fn a_delta_leads_where_it_was_taken(
        before in prop::collection::vec(step(), 0..20),
        after in prop::collection::vec(step(), 0..20),
    ) {
        let mut config = Config::default();
        before.iter().for_each(|step| take(&mut config, step));
        let from = revision(1, config.clone());
        after.iter().for_each(|step| take(&mut config, step));
        let to = revision(2, config);

        let delta = through_the_wire(&Delta::between(&from, &to));
        let applied = delta.apply(&from).expect("a delta applies where it starts");
        prop_assert_eq!(applied.id, to.id);
        prop_assert_eq!(applied.config.hash(), to.config.hash());
        prop_assert_eq!(rows::<Service>(&applied), rows::<Service>(&to));
        prop_assert_eq!(rows::<Route>(&applied), rows::<Route>(&to));
        prop_assert_eq!(rebuilt(&to).config.hash(), to.id.hash);
    }
}

#[test]
fn a_delta_carries_only_what_changed() {
    let mut config = Config::default();
    (0..200).for_each(|n| drop(config.write(service(&format!("s{n}")).build())));
    let from = revision(1, config.clone());
    let changed = service("another").build();
    let bytes = config.write(changed);
    let delta = Delta::between(&from, &revision(2, config));
    assert_eq!(delta.changes.len(), 1);
    let size = rmp_serde::to_vec_named(&delta).expect("plain values").len();
    assert!(size <= 512 + bytes.len() * 13 / 10, "{size} bytes for an entity of {}", bytes.len());
}

#[test]
fn a_delta_from_elsewhere_is_refused() {
    let empty = Revision::empty();
    let mut config = Config::default();
    config.write(service("s").build());
    let one = revision(1, config);
    let delta = Delta::between(&one, &empty);
    let error = delta.apply(&empty).expect_err("it starts from another revision");
    assert!(error.to_string().contains("starts from revision 1.1"), "{error}");
}

#[test]
fn a_delta_with_other_content_than_announced_is_refused() {
    let mut config = Config::default();
    config.write(service("s").build());
    let mut delta = Delta::between(&Revision::empty(), &revision(1, config));
    delta.changes.clear();
    let error = delta.apply(&Revision::empty()).expect_err("the content is not that");
    assert!(error.to_string().contains("gave content 0000"), "{error}");
}

fn through_the_wire(delta: &Delta) -> Delta {
    let bytes = rmp_serde::to_vec_named(delta).expect("plain values");
    rmp_serde::from_slice(&bytes).expect("what was just written")
}

fn rows<E: model::Entity>(revision: &Revision) -> Vec<(Id<E>, Vec<u8>)> {
    revision.config.all::<E>().stored().map(|s| (s.entity.id(), s.bytes.to_vec())).collect()
}

/// The same content, taken in as a full snapshot would be.
fn rebuilt(revision: &Revision) -> Arc<Revision> {
    let mut config = Config::default();
    revision.config.for_each(|kind, id, bytes| {
        config.put(kind, id, bytes.clone()).expect("bytes that were written here");
    });
    model::testing::revision(revision.id.version, config)
}

/// In the order of ids one of two names is given away before its holder has let it go.
#[test]
fn names_that_change_hands_are_found_at_their_new_holders() {
    let named = |names: [&str; 2]| {
        let mut config = Config::default();
        for (n, name) in (0..).zip(names) {
            let id = uuid(n).to_string();
            config.write(service(name).with("id", id).with("host", "h").build());
        }
        config
    };
    let (before, after) = (revision(1, named(["a", "b"])), revision(2, named(["b", "a"])));
    let reached = Delta::between(&before, &after).apply(&before).expect("applies");
    for (n, name) in [(0, "b"), (1, "a")] {
        let holder = reached.config.all::<Service>().by_endpoint_key(name).expect("is found");
        assert_eq!(holder.id, Id::from(uuid(n)), "{name}");
    }
}
