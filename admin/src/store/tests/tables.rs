//! Whose tables they are, and of which version.

use super::*;
use crate::store::migrations::Migrations;

/// Longer than anything takes.
const NEVER: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_file_of_others_is_left_alone() {
    let home = Home::file();
    drop(home.open().await);
    home.damage("pragma user_version = 99").await;
    assert!(matches!(home.refusal().await, OpenError::Newer { found, .. } if found == "99"));

    let home = Home::file();
    std::fs::write(home.path(), "not a database at all, but long enough to be looked at").unwrap();
    assert!(matches!(home.refusal().await, OpenError::Database(_)));

    let home = Home::file();
    drop(home.open().await);
    home.damage("pragma user_version = 0").await;
    assert!(matches!(home.refusal().await, OpenError::NotOurs));
}

#[tokio::test]
async fn an_upgrade_is_finished_when_the_old_version_is_gone() {
    static FIRST: &[migrations::Migration] = &[migrations::Migration {
        name: "0001_first",
        sqlite: "",
        postgres: "create table head (epoch bigint)",
        finish: None,
    }];
    static BOTH: &[migrations::Migration] = &[
        migrations::Migration { finish: None, ..FIRST[0] },
        migrations::Migration {
            name: "0002_second",
            sqlite: "",
            postgres: "alter table head add column age bigint; update head set age = epoch",
            finish: Some("alter table head drop column epoch"),
        },
    ];
    static FAULTY: &[migrations::Migration] = &[
        migrations::Migration { finish: None, ..FIRST[0] },
        migrations::Migration {
            name: "0002_second",
            sqlite: "",
            postgres: "create table audit (seq bigint); create table head (epoch bigint)",
            finish: None,
        },
    ];
    let Some(server) = server::Server::shared() else { return };
    let options = on(server);
    let connect = async |all| Migrations::connect(&options, NEVER).await.unwrap().of(all);
    let (mut old, mut new) = (connect(FIRST).await, connect(BOTH).await);
    assert_eq!(old.up().await.unwrap(), ["0001_first"]);
    assert_eq!(new.state().await.unwrap().new, ["0002_second"]);

    assert!(connect(FAULTY).await.up().await.is_err());
    assert_eq!(new.state().await.unwrap().new, ["0002_second"], "all of it, or nothing");

    assert_eq!(new.up().await.unwrap(), ["0002_second"]);
    let state = new.state().await.unwrap();
    assert_eq!((state.pending, state.new), (vec!["0002_second".to_owned()], vec![]));
    let state = old.state().await.unwrap();
    assert_eq!((state.unknown, state.beyond), (vec!["0002_second".to_owned()], vec![]));

    assert_eq!(new.finish().await.unwrap(), ["0002_second"]);
    assert_eq!(new.finish().await.unwrap(), [""; 0]);
    assert_eq!(old.state().await.unwrap().beyond, ["0002_second"]);
    assert_eq!(server.sql(&options.database, "select count(age) from head"), "0");
}

/// What has to be the same in both for the statements to be.
#[tokio::test]
async fn both_databases_have_the_same_tables() {
    let (file, Some(server)) = (Home::file(), Home::server().await) else { return };
    drop(file.open().await);
    let (mut file, mut server) = (file.intruder().await, server.intruder().await);
    for table in migrations::tables().filter(|table| *table != migrations::TABLE) {
        let of_file = format!("select name from pragma_table_info('{table}') order by cid");
        let of_server = format!(
            "select attname::text as name from pg_attribute \
             where attrelid = '{table}'::regclass and attnum > 0 order by attnum"
        );
        let mut names = Vec::new();
        for (link, columns) in [(&mut file, of_file), (&mut server, of_server)] {
            let rows = link.query(&columns, &[]).await.unwrap();
            names.push(rows.iter().map(|row| row.text("name").unwrap()).collect::<Vec<_>>());
        }
        assert!(!names[0].is_empty());
        assert_eq!(names[0], names[1], "{table}");
    }
}
