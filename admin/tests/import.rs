//! The configuration as a file, into the database and out of it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fmt::Write;
use std::sync::Arc;

use admin::{FileError, Imported, Options, Storage};
use model::declarative;
use model::judge::{Judge, Lenient};
use model::value::Timestamp;
use model::vitals::Problem;
use model::{Config, EntityKind, Terms};
use serde_json::json;
use support::{Plane, options, options_of};
use tempfile::TempDir;

/// A database, and what files do to it.
struct Place {
    dir: Arc<TempDir>,
    judge: Arc<dyn Judge>,
}

impl Place {
    fn new() -> Self {
        Self { dir: Arc::new(TempDir::new().unwrap()), judge: Arc::new(Lenient) }
    }

    fn options(&self) -> Options {
        options(&self.dir, Arc::clone(&self.judge))
    }

    async fn import_at(&self, second: i64, text: &str) -> Result<Imported, FileError> {
        let now = Timestamp::from_seconds(second);
        let text = format!("_format_version: '3.0'\n{text}");
        let document = declarative::parse(&text, now, Terms::default()).unwrap();
        admin::import(&self.options(), document, now, "a test").await
    }

    async fn import(&self, text: &str) -> Imported {
        self.import_at(5, text).await.unwrap()
    }

    async fn refuses(&self, text: &str) -> String {
        self.import_at(5, text).await.unwrap_err().to_string()
    }

    async fn export(&self) -> String {
        admin::export(&self.options()).await.unwrap()
    }

    async fn plane(&self) -> Plane {
        Plane::start_in(Arc::clone(&self.dir), Arc::clone(&self.judge)).await
    }
}

#[tokio::test]
async fn a_file_is_laid_over_what_is_there() {
    let place = Place::new();
    let plane = place.plane().await;
    plane.create("/services", json!({ "name": "mine", "host": "a.test" })).await;
    let yours = plane.create("/services", json!({ "name": "yours", "host": "b.test" })).await;
    plane.server.shutdown(std::time::Duration::MAX).await;

    let imported = place
        .import(&format!("services: [{{id: {}, name: theirs, host: c.test}}]", yours["id"]))
        .await;
    assert!(imported.is_new);
    assert_eq!((imported.entities, imported.revision.version), (1, 4));

    let plane = place.plane().await;
    let found = plane.get("/services").await.1["data"].as_array().unwrap().len();
    assert_eq!(found, 2, "what the file does not have stays");
    let (_, theirs) = plane.get("/services/theirs").await;
    assert_eq!((&theirs["id"], &theirs["host"]), (&yours["id"], &json!("c.test")));
    assert_eq!(plane.get("/services/qours").await.0, 404);
}

#[tokio::test]
async fn what_is_exported_is_the_same_when_imported() {
    let place = Place::new();
    let first = place
        .import("services: [{name: s, host: h, tags: [a], routes: [{name: r, paths: [/]}]}]")
        .await;
    let text = place.export().await;
    assert!(text.starts_with("_format_version: '3.0'\n_transform: false\n"), "{text}");
    let body = text.split_once('\n').unwrap().1;
    let again = place.import_at(9, body).await.unwrap();
    assert_eq!(again, Imported { is_new: false, ..first });

    let other = Place::new();
    assert!(other.import_at(9, body).await.unwrap().is_new);
    assert_eq!(other.export().await.lines().count(), text.lines().count());
}

/// The same file again, at another time, is no news to data planes.
#[tokio::test]
async fn the_same_file_again_makes_no_revision() {
    let (place, text) = (Place::new(), "services: [{name: s, host: h}, {name: t, host: h}]");
    let first = place.import(text).await;
    assert_eq!(place.import_at(9, text).await.unwrap(), Imported { is_new: false, ..first });
    let next = place.import_at(9, &text.replace("t, host: h", "t, host: i")).await.unwrap();
    assert_eq!(next.revision.version, first.revision.version + 1);
    let said = place.export().await;
    let times = |name: &str| said.matches(&format!("{name}: 5")).count();
    assert_eq!((times("created_at"), times("updated_at")), (1, 1), "{said}");
}

#[tokio::test]
async fn names_may_change_hands_within_a_file() {
    let place = Place::new();
    let (a, b) = ("00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b");
    let file = |first: &str, second: &str| {
        format!(
            "services: [{{id: {a}, name: {first}, host: h}}, {{id: {b}, name: {second}, host: h}}]"
        )
    };
    let routes = format!("\nroutes: [{{name: r, paths: [/], service: {a}}}]");
    place.import(&(file("p", "q") + &routes)).await;
    assert!(place.import(&file("q", "p")).await.is_new);
    let plane = place.plane().await;
    assert_eq!(plane.get("/services/q").await.1["id"], a);
    assert_eq!(plane.get("/services/q/routes/r").await.0, 200);
}

#[tokio::test]
async fn a_file_is_taken_whole_or_not_at_all() {
    let place = Place::new();
    place.import("services: [{name: s, host: h}]").await;
    let before = place.export().await;
    let other = "services: [{name: t, host: h}, {id: 00000000-0000-4000-8000-00000000000a, name: s, host: h}]";
    let said = place.refuses(other).await;
    let line = "\n  services.2: uniqueness violation: 'services' entity with name set to 's' is in the database already, as ";
    assert!(said.contains(line), "{said}");
    assert_eq!(place.export().await, before);
}

/// Objects to routes of one name.
struct Picky;

impl Judge for Picky {
    fn rehearse(&self, config: &Config) -> Result<(), Vec<Problem>> {
        let routes = config.all::<model::entities::Route>().iter();
        let bad =
            routes.filter(|route| route.name.as_ref().is_some_and(|name| name.as_str() == "bad"));
        let problems: Vec<_> =
            bad.map(|route| Problem::of(EntityKind::Route, route.id, "bad", "it is bad")).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

#[tokio::test]
async fn what_the_engine_objects_to_is_told_at_its_place() {
    let place = Place { judge: Arc::new(Picky), ..Place::new() };
    let said = place
        .refuses("services: [{name: s, host: h, routes: [{name: ok, paths: [/]}, {name: bad, paths: [/]}]}]")
        .await;
    assert!(said.ends_with("\n  services.1.routes.2: it is bad"), "{said}");
    assert_eq!(place.export().await, "_format_version: '3.0'\n_transform: false\n");
}

#[tokio::test]
async fn ten_thousand_entities_are_one_revision() {
    let place = Place::new();
    let mut text = "services: [{name: s, host: h}]\nroutes:\n".to_owned();
    for number in 1..10_000 {
        let _ = writeln!(text, "- {{name: r{number}, service: s, paths: [/{number}]}}");
    }
    let imported = place.import(&text).await;
    assert_eq!((imported.entities, imported.revision.version), (10_000, 2));
    let plane = place.plane().await;
    assert_eq!(plane.server.revisions().borrow().id, imported.revision);
    assert_eq!(plane.get("/routes/r9999").await.0, 200);
}

#[tokio::test]
async fn without_a_database_there_is_nothing_to_import_into() {
    let options = options_of(Storage::Nowhere(None), Arc::new(Lenient));
    let document = declarative::Document::default();
    let now = Timestamp::from_seconds(1);
    let refused = admin::import(&options, document, now, "a test").await.unwrap_err();
    assert!(matches!(refused, FileError::NoDatabase));
    assert!(matches!(admin::export(&options).await.unwrap_err(), FileError::NoDatabase));
}
