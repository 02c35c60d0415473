//! Which database, and the document of a node without one.

use std::fs;

use ::admin::{Postgres, PostgresTls};
use rustix::fs::{self as unix, mkfifoat};

use super::*;

#[test]
fn a_database_that_is_not_there_is_refused() {
    bad(
        "database = cassandra",
        &[
            r#"database = "cassandra" (g.conf:1): Cassandra is not supported; use postgres or sqlite"#,
        ],
    );
}

#[test]
fn a_server_is_reached_as_the_properties_say() {
    let server = |lines: &str| {
        let options = good(lines);
        assert_eq!(options.effective["database"], "postgres");
        let Role::Traditional { admin, .. } = options.role else { panic!() };
        let Database::Postgres(server) = admin.database else { panic!("{:?}", admin.database) };
        *server
    };
    assert_eq!(server("database = postgres"), Postgres::default());
    let found = server("pg_host = db\npg_timeout = 250\npg_password = 'a # b'\npg_ssl = on");
    let tls = PostgresTls { verify: false, trusted: Vec::new(), system: true };
    let expected = Postgres {
        host: "db".to_owned(),
        timeout: Duration::from_millis(250),
        password: Some("a # b".to_owned()),
        tls: Some(tls),
        ..Postgres::default()
    };
    assert_eq!(found, expected);
    assert!(!format!("{found:?}").contains("a # b"), "{found:?}");
    let told = notices(&good("pg_schema = gw"));
    let line = "database = postgres (kong at 127.0.0.1:5432, schema gw): the default, as pg_* properties are set";
    assert!(told.contains(&line.to_owned()), "{told:?}");
    assert!(matches!(good("pg_host = db\ndatabase = sqlite").role,
        Role::Traditional { admin, .. } if matches!(admin.database, Database::Sqlite(_))));
    bad(
        "pg_port = 70000\ndb_update_frequency = 0",
        &[
            r#"db_update_frequency = "0" (g.conf:2): must be greater than 0"#,
            r#"pg_port = "70000" (g.conf:1): must be 1 or greater and 65535 or less"#,
        ],
    );
}

#[test]
fn what_is_not_said_of_a_replica_is_as_at_the_server() {
    let replica = |lines: &str| {
        let Role::Traditional { admin, .. } = good(lines).role else { panic!() };
        let Database::Postgres(server) = admin.database else { panic!("{:?}", admin.database) };
        server.replica.map(|replica| *replica)
    };
    let server = "pg_host = db\npg_port = 5433\npg_password = a\npg_ssl = on";
    assert_eq!(replica(server), None);
    assert_eq!(replica("pg_ro_port = 5434"), None, "it is nowhere");
    let copy = "pg_ro_host = copy\npg_ro_user = reader\npg_ro_timeout = 100";
    let tls = PostgresTls { verify: false, trusted: Vec::new(), system: true };
    let expected = Postgres {
        host: "copy".to_owned(),
        port: 5433,
        user: "reader".to_owned(),
        password: Some("a".to_owned()),
        timeout: Duration::from_millis(100),
        tls: Some(tls),
        ..Postgres::default()
    };
    assert_eq!(replica(&format!("{server}\n{copy}")), Some(expected.clone()));
    let plain = format!("{server}\n{copy}\npg_ro_ssl = off\npg_ro_password = b\npg_ro_port = 1");
    let password = Some("b".to_owned());
    assert_eq!(replica(&plain), Some(Postgres { tls: None, port: 1, password, ..expected }));
    bad(
        "pg_ro_host = copy\npg_ro_port = 0",
        &[r#"pg_ro_port = "0" (g.conf:2): must be 1 or greater and 65535 or less"#],
    );
}

#[test]
fn without_a_database_the_configuration_is_a_document() {
    let lines =
        data_plane("database = off\ndeclarative_config_string = '_format_version: \"3.0\"'");
    let Role::DataPlane { fallback: Some(document), .. } = good(&lines).role else { panic!() };
    assert_eq!(document.name, "declarative_config_string");
    assert!(document.document.is_ok_and(|document| document.config().is_empty()));
    // Its cache may be better.
    let lines = data_plane("declarative_config = DIR/c.crt");
    let Role::DataPlane { fallback: Some(document), .. } = good(&lines).role else { panic!() };
    assert!(document.document.is_err());
    bad(
        &data_plane("declarative_config = DIR/none.yml"),
        &[
            r#"declarative_config = "none.yml" (g.conf:4): cannot read none.yml: No such file or directory (os error 2)"#,
        ],
    );
    bad(
        "database = off\ndeclarative_config = DIR/none.yml",
        &[
            r#"declarative_config = "none.yml" (g.conf:2): cannot read none.yml: No such file or directory (os error 2)"#,
        ],
    );
    let Role::Traditional { admin, .. } = good("database = off").role else { panic!() };
    assert_eq!(admin.database, Database::Off(None));
    let options = good("database = off\ndeclarative_config_string = '_format_version: \"3.0\"'");
    assert_eq!(options.effective["database"], "off");
    assert_eq!(options.effective["declarative_config_string"], "******");
    let Role::Traditional { admin, .. } = options.role else { panic!() };
    let Database::Off(Some(document)) = admin.database else { panic!() };
    assert!(document.config().is_empty());
}

#[test]
fn a_document_is_judged_before_a_node_begins_with_it() {
    let said = |document: &str, mistakes: &[&str]| {
        let lines = format!("declarative_config_string = '{document}'");
        let mistakes = format!(
            "declarative_config_string = \"******\" (g.conf:2): the declarative configuration is invalid:{}",
            mistakes.iter().map(|line| format!("\n  {line}")).collect::<String>()
        );
        bad(&format!("database = off\n{lines}"), &[&mistakes]);
        let Role::DataPlane { fallback: Some(document), .. } = good(&data_plane(&lines)).role
        else {
            panic!()
        };
        let error = document.document.unwrap_err();
        assert!(mistakes.ends_with(&error), "{error}");
    };
    said(
        r#"{"_format_version": "3.0", "services": [{"name": "a"}], "colour": "blue"}"#,
        &["colour: unknown field", "services.1.host: required field missing"],
    );
    said(
        r#"{"_format_version": "3.0", "services": [{"name": "a", "url": "tcp://a.test:9", "routes": [{"paths": ["/"]}]}]}"#,
        &["services.1.routes.1.service: it is for HTTP, and its service is spoken to over `tcp`"],
    );
}

#[test]
fn a_document_may_come_through_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    mkfifoat(unix::CWD, &pipe, unix::Mode::RUSR | unix::Mode::WUSR).unwrap();
    let lines = format!("database = off\ndeclarative_config = {}", pipe.display());
    let text = "_format_version: '3.0'\nservices: [{name: a, host: a.test}]";
    let writer = std::thread::spawn(move || fs::write(pipe, text));
    let Role::Traditional { admin, .. } = good(&lines).role else { panic!() };
    writer.join().unwrap().unwrap();
    let Database::Off(Some(document)) = admin.database else { panic!() };
    assert_eq!(document.config().len(), 1);
}

#[test]
fn routing_is_the_same_for_every_part_of_a_node() {
    let routing = |lines: &str| good(lines).routing;
    assert_eq!(routing(""), engine::RouterOptions::default());
    assert_eq!(routing("router_flavor = traditional"), engine::RouterOptions::default());
    let other = routing("router_flavor = expressions\nrouter_priority = documented");
    assert_eq!(other.router_flavor, model::Flavor::Expressions);
    assert_eq!(other.router_priority, engine::router::RouterPriority::Documented);
    let told = |lines: &str| notices(&good(lines));
    let is_told = |told: Vec<String>| {
        told.iter().any(|line| {
            line.starts_with("router_flavor = traditional is served as traditional_compatible")
                && line.contains("path_handling = v1 has no effect")
        })
    };
    assert!(is_told(told("router_flavor = traditional")));
    assert!(!is_told(told("router_flavor = expressions")) && !is_told(told("")));
    let document = r#"{"_format_version": "3.0", "routes": [{"name": "r", "expression": "x"}]}"#;
    let lines = format!("database = off\ndeclarative_config_string = '{document}'");
    let [mistake] = read(&lines).map(drop).unwrap_err().try_into().expect("one mistake");
    assert!(mistake.contains("routes.1.expression: unknown field"), "{mistake}");
    let lines = format!("router_flavor = expressions\n{lines}");
    let [mistake] = read(&lines).map(drop).unwrap_err().try_into().expect("one mistake");
    assert!(mistake.contains("routes.1.expression: Router Expression failed validation: line 1"));
    bad(
        "router_priority = kong",
        &[r#"router_priority = "kong" (g.conf:1): expected one of: kong_effective, documented"#],
    );
}
