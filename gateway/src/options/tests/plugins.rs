//! Which types of plugins may be used.

use model::testing;

use super::*;

const ALL: [&str; 5] = ["key-auth", "rate-limiting", "cors", "request-termination", "file-log"];

/// The types that may be used of those tests have, or what is wrong.
fn chosen(plugins: &str) -> Result<Vec<&'static str>, Vec<String>> {
    with(plugins, |settings| {
        let secrets = Secrets::of(settings);
        let mut reader = Reader::new(settings, &secrets);
        let catalog = reader.plugins(testing::catalog());
        let told = reader.into_result(Some(catalog.iter().map(|plugin| plugin.name).collect()));
        told.map_err(|mistakes| mistakes.all.into_iter().map(|mistake| mistake.what).collect())
    })
}

#[test]
fn plugins_are_bundled_named_or_off() {
    assert_eq!(chosen(""), Ok(ALL.to_vec()));
    assert_eq!(chosen("plugins = bundled"), Ok(ALL.to_vec()));
    assert_eq!(chosen("plugins = cors, bundled"), Ok(ALL.to_vec()));
    assert_eq!(chosen("plugins = cors,key-auth"), Ok(vec!["key-auth", "cors"]));
    assert_eq!(chosen("plugins = off"), Ok(vec![]));
}

#[test]
fn all_plugins_that_are_missing_are_named() {
    let there_are = format!("there are {}", ALL.join(", "));
    assert_eq!(
        chosen("plugins = bundled, my-plugin, cors, Cors"),
        Err(vec![format!("enabled but not installed: `my-plugin`, `Cors`; {there_are}")])
    );
    // Also of the plugins there are; and once, however many parts of the node ask.
    let document = "database = off\ndeclarative_config_string = {\"_format_version\":\"3.0\"}";
    let mistakes = read(&format!("plugins = my-plugin\n{document}")).map(|_| ()).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].contains("enabled but not installed: `my-plugin`"), "{mistakes:?}");
}

#[test]
fn a_document_is_read_as_the_node_would_take_it() {
    let document =
        r#"declarative_config_string = {"_format_version":"3.0","plugins":[{"name":"nope"}]}"#;
    let options = read(&format!("database = off\n{document}"));
    let told = format!("{:?}", options.map(|_| ()).unwrap_err());
    assert!(told.contains("plugin 'nope' not enabled; add it to the 'plugins'"), "{told}");
}
