//! A node without a database: what it serves is a document, from a file or from `POST /config`.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{DbLess, Origin, PATIENCE, Site, within};

/// A service at this origin, with a route to it.
fn document(name: &str, origin: &Origin) -> String {
    let url = origin.url("/");
    format!(
        "_format_version: '3.0'\nservices:\n- name: {name}\n  url: {url}\n  routes:\n  - name: {name}\n    paths: [/{name}]\n"
    )
}

#[tokio::test]
async fn the_file_is_served_and_a_document_replaces_it() {
    let site = Site::new().await;
    let origin = Origin::start("shop").await;
    let file = site.path().join("kong.yml");
    fs::write(&file, document("shop", &origin)).unwrap();
    let mut node = DbLess::new(&site);
    node.process.set("declarative_config", file.display());
    node.start().await;

    assert_eq!(node.get("/shop").await.unwrap().status, 200);
    assert_eq!(node.ready().await.status, 200);
    let report = node.report().await;
    assert_eq!(report.get("database"), None);
    let shown = node.ask("/status").await.json();
    assert_eq!(shown["configuration_hash"], report["configuration_hash"]);
    assert_eq!(node.ask("/services/shop").await.status, 200);
    let root = node.ask("/").await.json();
    assert_eq!(root["configuration"]["database"], "off");
    assert_eq!(root["configuration"]["declarative_config"], file.display().to_string());

    // Loaded means served: no request after the answer meets what was before.
    for round in 0..20 {
        let (comes, goes) = if round % 2 == 0 { ("users", "shop") } else { ("shop", "users") };
        let reply = node.load(&document(comes, &origin)).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(node.get(&format!("/{comes}")).await.unwrap().status, 200);
        assert_eq!(node.get(&format!("/{goes}")).await.unwrap().status, 404);
    }
}

#[tokio::test]
async fn routes_may_be_expressions_where_the_flavor_says_so() {
    let site = Site::new().await;
    let origin = Origin::start("shop").await;
    let routes = |routes: &str| {
        let url = origin.url("/");
        format!(
            "_format_version: '3.0'\nservices:\n- name: shop\n  url: {url}\n  routes:\n{routes}"
        )
    };
    let mixed = routes(
        r#"  - {name: all, paths: [/], methods: [GET]}
  - {name: v2, expression: 'http.path ^= "/shop" && http.queries.v == "2"', priority: 1, strip_path: false}
  - {name: none, expression: 'http.path ^= "/shop/internal"', priority: 2, protocols: [https]}
"#,
    );
    let mut node = DbLess::new(&site);
    node.process.set("router_flavor", "expressions");
    node.start().await;
    let reply = node.load(&mixed).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(node.ask("/").await.json()["configuration"]["router_flavor"], "expressions");
    assert_eq!(node.ask("/routes/v2").await.json()["priority"], 1);
    assert_eq!(node.get("/shop?v=2").await.unwrap().status, 200);
    assert_eq!(node.get("/other?v=2").await.unwrap().status, 200);
    assert_eq!(node.get("/shop/internal?v=2").await.unwrap().status, 426);

    let wrong = routes("  - {name: v2, expression: 'http.path ^= 2'}\n");
    let reply = node.load(&wrong).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    let said = reply.json().to_string();
    assert!(said.contains("line 1, column 14: `http.path` ^= takes a string"), "{said}");
    assert_eq!(node.get("/shop/internal").await.unwrap().status, 426);

    // What no flavor serves as written is told once, with names.
    let ignored = routes("  - {name: old, paths: [/old], path_handling: v1}\n");
    assert_eq!(node.load(&ignored).await.status, 201);
    node.process.says(&["[warn]", "path_handling = v1 has no effect", ": 1 (old)"]).await;
}

#[tokio::test]
async fn expressions_are_an_error_at_start_where_routes_are_not_written_so() {
    let site = Site::new().await;
    let file = site.path().join("kong.yml");
    let route = "{name: e, expression: 'http.path == \"/\"'}";
    fs::write(&file, format!("_format_version: '3.0'\nroutes: [{route}]\n")).unwrap();
    let mut node = DbLess::new(&site);
    node.process.set("declarative_config", file.display());
    node.process.set("router_flavor", "traditional");
    node.process.start();
    let status = node.process.exited(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(1));
    let checked = node.process.check();
    assert!(!checked.status.success());
    let checked = String::from_utf8(checked.stderr).unwrap();
    for said in [node.process.log(), checked] {
        let unknown = "routes.1.expression: unknown field: it is there where router_flavor";
        assert!(said.contains(unknown), "{said}");
        assert!(said.contains("traditional is served as traditional_compatible"), "{said}");
    }
}

#[tokio::test]
async fn a_refused_document_changes_nothing() {
    let site = Site::new().await;
    let origin = Origin::start("shop").await;
    let mut node = DbLess::new(&site);
    node.start().await;
    assert_eq!(node.load(&document("shop", &origin)).await.status, 201);
    let before = node.ask("/status").await.json()["configuration_hash"].clone();

    // Half of it is sound; requests are not sent to a service of streams.
    for wrong in [
        format!(
            "{}routes: [{{name: other, paths: [/other], service: nowhere}}]",
            document("other", &origin)
        ),
        format!(
            "{}- {{name: stream, url: 'tcp://a.test:9000', routes: [{{name: r, paths: [/r]}}]}}",
            document("other", &origin)
        ),
        "a: [".to_owned(),
    ] {
        let reply = node.load(&wrong).await;
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!(14)), "{reply:?}");
        assert_eq!(node.ask("/status").await.json()["configuration_hash"], before);
        assert_eq!(node.get("/shop").await.unwrap().status, 200);
        assert_eq!(node.get("/other").await.unwrap().status, 404);
    }
}

#[tokio::test]
async fn without_a_document_it_waits_for_one_and_forgets_it() {
    let site = Site::new().await;
    let origin = Origin::start("shop").await;
    let mut node = DbLess::new(&site);
    node.start().await;
    assert_eq!(node.get("/shop").await.unwrap().status, 404);
    let unready = node.ready().await;
    assert_eq!(unready.status, 503);
    assert_eq!(
        unready.json()["message"],
        "no configuration available (empty configuration present)"
    );

    assert_eq!(node.load(&document("shop", &origin)).await.status, 201);
    assert_eq!(node.ready().await.status, 200);
    assert_eq!(node.get("/shop").await.unwrap().status, 200);
    node.process.signal(Signal::TERM);
    assert!(node.process.exited(PATIENCE).await.success());
    node.start().await;
    assert_eq!(node.get("/shop").await.unwrap().status, 404);
    assert_eq!(node.ask("/services").await.json()["data"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_file_that_cannot_be_served_is_no_start() {
    let site = Site::new().await;
    let file = site.path().join("kong.yml");
    fs::write(
        &file,
        "_format_version: '3.0'\nservices: [{name: a}, {name: b, host: h, port: x}]\ncolour: blue\n",
    )
    .unwrap();
    let mut node = DbLess::new(&site);
    node.process.set("declarative_config", file.display());
    node.process.start();
    let status = node.process.exited(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(1));
    let (log, checked) = (node.process.log(), node.process.check());
    assert!(!checked.status.success());
    let checked = String::from_utf8(checked.stderr).unwrap();
    for line in [
        "kong.yml\" (",
        "the declarative configuration is invalid:",
        "  colour: unknown field",
        "  services.1.host: required field missing",
        "  services.2.port: expected an integer",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
        assert!(checked.contains(line), "{line}\n{checked}");
    }
}

/// As Kong's does: a reload reads the document again, in the place of one that was posted.
#[tokio::test]
async fn a_reload_reads_the_document_again() {
    let site = Site::new().await;
    let origin = Origin::start("shop").await;
    let file = site.path().join("kong.yml");
    let write = |text: String| fs::write(&file, text).unwrap();
    write(document("shop", &origin));
    let mut node = DbLess::new(&site);
    node.process.set("declarative_config", file.display());
    node.start().await;
    let serves = async |path: &str| {
        within(PATIENCE, async || node.get(path).await?.with_status(200)).await;
    };

    for by_command in [true, false] {
        assert_eq!(node.load(&document("posted", &origin)).await.status, 201);
        assert_eq!(node.get("/shop").await.unwrap().status, 404);
        match by_command {
            true => assert!(node.process.run("reload").status.success()),
            false => node.process.signal(Signal::HUP),
        }
        serves("/shop").await;
        assert_eq!(node.get("/posted").await.unwrap().status, 404);
    }

    write(document("users", &origin));
    node.process.signal(Signal::HUP);
    serves("/users").await;
    assert_eq!(node.get("/shop").await.unwrap().status, 404);

    // What cannot be served changes nothing.
    write("_format_version: '3.0'\nservices: [{name: a}]\n".to_owned());
    let refused = node.process.run("reload");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("host: required field missing"), "{said}");
    node.process.signal(Signal::HUP);
    node.process.says(&["reload: nothing changes", "declarative"]).await;
    assert_eq!(node.get("/users").await.unwrap().status, 200);
}
