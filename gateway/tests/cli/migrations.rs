//! `migrations`, and what `start` says of a database that has not seen them.

#[path = "../../../admin/tests/support/postgres.rs"]
mod postgres;

use serde_json::{Value, json};

use super::support::Node;
use postgres::Server;

/// A node whose database is a new one of this server.
fn node(server: &Server) -> (Node, String) {
    let (node, database) = (Node::new(), server.database());
    let (host, port) = (server.socket().display(), server.port());
    node.configure(&format!("pg_host = {host}\npg_port = {port}\npg_database = {database}"));
    (node, database)
}

#[test]
fn a_database_is_bootstrapped_once_and_reset_on_purpose() {
    let Some(server) = Server::shared() else { return };
    let (node, database) = node(server);
    let run = |word: &str| node.run(&["migrations", word]);

    let refused = run("up").badly();
    assert!(refused.contains("run `gateway migrations bootstrap`"), "{refused}");
    let before = run("list");
    assert_eq!(before.code, Some(3), "{before:?}");
    let status: Value = serde_json::from_str(&run("status").well()).unwrap();
    assert_eq!(status["needs_bootstrap"], true);

    let said = run("bootstrap").well();
    assert!(said.contains("0001_core executed\n"), "{said}");
    assert!(said.ends_with("Database is up-to-date\n"), "{said}");
    assert_eq!(run("bootstrap").well(), "Database already bootstrapped\n");
    assert_eq!(run("up").well(), "0 migrations processed\nDatabase is up-to-date\n");
    assert_eq!(run("finish").well(), "0 migrations processed\nDatabase is up-to-date\n");
    assert!(run("list").well().starts_with("Executed migrations:\n  0001_core\n"));
    let status: Value = serde_json::from_str(&run("status").well()).unwrap();
    assert_eq!(status["needs_bootstrap"], false);
    assert_eq!(status["new_migrations"], json!([]));
    assert_eq!(node.run(&["migrations", "up", "-q"]).well(), "");

    server.sql(&database, "insert into head values (1, 1, 1, decode(repeat('00', 16), 'hex'))");
    let refused = run("reset").badly();
    assert!(refused.contains("say --yes"), "{refused}");
    assert_eq!(server.sql(&database, "select count(*) from head"), "1");
    let said = node.run(&["migrations", "reset", "--yes"]).well();
    assert_eq!(said, "Database successfully reset\n");
    let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(server.sql(&database, tables), "0");
    let nothing = node.run(&["migrations", "reset", "--yes"]);
    assert_eq!(nothing.code, Some(1));
    assert_eq!(nothing.out, "Database not bootstrapped, nothing to reset\n");
}

#[test]
fn a_start_names_the_command_that_is_missing_or_runs_it() {
    let Some(server) = Server::shared() else { return };
    let (node, database) = node(server);
    let refused = node.run(&["start"]).badly();
    assert!(refused.contains("run `gateway migrations bootstrap`"), "{refused}");

    node.run(&["migrations", "bootstrap"]).well();
    let forget = "delete from gateway_migrations where name = '0004_consumers'";
    server.sql(&database, forget);
    assert_eq!(node.run(&["migrations", "list"]).code, Some(5));
    let refused = node.run(&["start"]).badly();
    assert!(refused.contains("0004_consumers; run `gateway migrations up`"), "{refused}");

    let newer = "insert into gateway_migrations (name, is_finished) values ('9999_later', true)";
    node.run(&["migrations", "reset", "-y"]).well();
    node.run(&["start", "--daemon", "--run-migrations"]).well();
    node.run(&["health"]).well();
    node.run(&["stop"]).well();
    server.sql(&database, newer);
    let refused = node.run(&["start"]).badly();
    assert!(refused.contains("9999_later"), "{refused}");
    // What nodes of this version can live with does not stop them.
    server.sql(
        &database,
        "update gateway_migrations set is_finished = false where name like '9999%'",
    );
    node.run(&["start", "--daemon"]).well();
    node.run(&["stop"]).well();
}

#[test]
fn only_a_server_has_migrations_to_run() {
    let node = Node::new();
    let said = node.run(&["migrations", "bootstrap"]).well();
    assert!(said.contains("gateway.db is made and brought up to date by `start`"), "{said}");
    assert!(node.run(&["migrations", "reset", "-y"]).badly().contains("remove"));
    let unknown = node.run(&["migrations", "sideways"]).badly();
    assert!(unknown.contains("No such command for migrations: sideways"), "{unknown}");
    node.configure("pg_host = 127.0.0.1\npg_port = 1");
    let refused = node.run(&["migrations", "status"]).badly();
    assert!(refused.contains("kong at 127.0.0.1:1"), "{refused}");
}
