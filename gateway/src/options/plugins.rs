//! Which of the engine's plugins may be used: `plugins`.

use std::sync::Arc;

use engine::RouterOptions;
use model::explain::{Explanation, Question};
use model::judge::Judge;
use model::vitals::Problem;
use model::{Catalog, Config};

use super::Options;
use super::reader::Reader;

impl Options {
    /// What says whether a configuration could be served, and of which types its plugins may be.
    pub fn judge(&self) -> Arc<dyn Judge> {
        judge(self.routing, self.plugins)
    }
}

/// The judge of a node that reads routes like this and uses these types of plugins.
pub(super) fn judge(routing: RouterOptions, catalog: Catalog) -> Arc<dyn Judge> {
    Arc::new(Choosy { engine: engine::judge(routing), catalog })
}

/// A judge of an engine that has more plugins than are used.
struct Choosy {
    engine: Arc<dyn Judge>,
    catalog: Catalog,
}

impl Judge for Choosy {
    fn rehearse(&self, config: &Config) -> Result<(), Vec<Problem>> {
        self.engine.rehearse(config)
    }

    fn catalog(&self) -> Catalog {
        self.catalog
    }

    fn explain(&self, config: &Config, question: &Question) -> Result<Explanation, Vec<Problem>> {
        self.engine.explain(config, question)
    }
}

/// The types of plugins the engine has.
pub(super) fn installed() -> Catalog {
    engine::judge(RouterOptions::default()).catalog()
}

impl Reader<'_> {
    /// Those of the installed types that may be used. Kong has `bundled` for all of them, and takes `off`
    /// for what it says where it comes first.
    pub(super) fn plugins(&mut self, installed: Catalog) -> Catalog {
        let names = self.list("plugins");
        if names.first() == Some(&"off") {
            return installed.only(|_| false);
        }
        let is_installed = |name: &str| name == "bundled" || installed.get(name).is_some();
        let missing = names.iter().filter(|name| !is_installed(name));
        let missing: Vec<_> = missing.map(|name| format!("`{name}`")).collect();
        if !missing.is_empty() {
            let there_are = match installed.iter().map(|plugin| plugin.name).collect::<Vec<_>>() {
                none if none.is_empty() => "there are none".to_owned(),
                some => format!("there are {}", some.join(", ")),
            };
            let missing = missing.join(", ");
            self.wrong("plugins", format!("enabled but not installed: {missing}; {there_are}"));
        }
        installed.only(|name| names.contains(&name) || names.contains(&"bundled"))
    }
}
