//! What decK, Kong's own command-line tool, asks of the Admin API: a stand-in that reads, compares and
//! writes what decK does, in its order, and relies on what it relies on.
//!
//! decK compares what it reads with what it sent, byte by byte where it can. Whatever is answered
//! otherwise than Kong does shows as a difference that never goes away.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "deck/files.rs"]
mod files; // what is to be there
#[path = "deck/tool.rs"]
mod tool; // what it does about it

mod support;

use files::{Pairs, first, second, tagged};
use serde_json::{Value, json};
use support::Plane;
use tool::{Changes, Deck, KINDS};

/// What changes where nothing does.
const NONE: Changes = Changes { created: 0, updated: 0, deleted: 0 };

#[tokio::test]
async fn what_is_synced_is_there_and_then_nothing_differs() {
    let (plane, pairs) = (Plane::start().await, Pairs::new());
    let deck = Deck::of(&plane);
    deck.ping().await;
    let wanted = first(&pairs);
    let created = wanted.values().map(|entities| entities.len()).sum();
    deck.validate(&wanted).await;
    assert_eq!(deck.sync(&wanted).await, Changes { created, ..NONE });
    assert_eq!(deck.diff(&wanted).await, Vec::<String>::new());
    assert_eq!(deck.sync(&wanted).await, NONE);
}

#[tokio::test]
async fn another_file_changes_what_differs_and_deletes_the_rest() {
    let (plane, pairs) = (Plane::start().await, Pairs::new());
    // One call after the other, as with `--parallelism 1`.
    let deck = Deck { at_once: 1, ..Deck::of(&plane) };
    deck.sync(&first(&pairs)).await;
    let wanted = second(&pairs);
    let changes = deck.sync(&wanted).await;
    assert_eq!(changes, Changes { created: 3, updated: 10, deleted: 9 });
    assert_eq!(deck.diff(&wanted).await, Vec::<String>::new());

    let nothing = KINDS.iter().map(|kind| (kind.path, Default::default())).collect();
    let there = wanted.values().map(|entities| entities.len()).sum();
    assert_eq!(deck.sync(&nothing).await, Changes { deleted: there, ..NONE });
    assert!(plane.server.revisions().borrow().config.is_empty());
}

#[tokio::test]
async fn teams_that_share_a_gateway_by_tags_do_not_see_each_other() {
    let plane = Plane::start().await;
    let (red, blue) = (
        Deck { tags: "red,team", ..Deck::of(&plane) },
        Deck { tags: "blue,team", ..Deck::of(&plane) },
    );
    let (of_red, of_blue) = (tagged("red"), tagged("blue"));
    red.sync(&of_red).await;
    blue.sync(&of_blue).await;
    assert_eq!(red.diff(&of_red).await, Vec::<String>::new());
    assert_eq!(blue.diff(&of_blue).await, Vec::<String>::new());

    let nothing = KINDS.iter().map(|kind| (kind.path, Default::default())).collect();
    red.sync(&nothing).await;
    assert_eq!(blue.diff(&of_blue).await, Vec::<String>::new());
    let left = of_blue.values().map(|entities| entities.len()).sum::<usize>();
    assert_eq!(plane.server.revisions().borrow().config.len(), left);
}

#[tokio::test]
async fn a_file_with_a_mistake_is_told_so_before_anything_is_written() {
    let plane = Plane::start().await;
    for (entity, body, message) in [
        ("services", json!({ "name": "s" }), "schema violation (host: required field missing)"),
        (
            "vaults",
            json!({ "prefix": "my-env", "name": "nobody" }),
            "schema violation (name: vault 'nobody' is not installed)",
        ),
        (
            "acls",
            json!({ "consumer": { "id": "8d0b8f5e-0000-1000-8000-000000000001" } }),
            "schema violation (group: required field missing)",
        ),
    ] {
        let path = format!("/schemas/{entity}/validate");
        let (status, said) = plane.send("POST", &path, body).await;
        assert_eq!((status, &said["message"]), (400, &json!(message)), "{entity}");
    }
    assert_eq!(plane.get("/services").await.1["data"], Value::Array(Vec::new()));
}
