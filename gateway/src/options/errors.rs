//! How errors look: the default type, and templates read from files.

use engine::options::{Errors, Media, Template};

use super::reader::Reader;
use crate::bounded;

impl Reader<'_> {
    pub(super) fn errors(&mut self) -> Errors {
        let default_type = self.choice("error_default_type");
        let named = Media::ALL.iter().find(|(name, _)| *name == default_type);
        Errors {
            default_type: named.map(|(_, media)| *media).unwrap_or_default(),
            json: self.template("error_template_json"),
            plain: self.template("error_template_plain"),
            html: self.template("error_template_html"),
            xml: self.template("error_template_xml"),
        }
    }

    /// The template in the file a property names; none, and noted, where it is of no use.
    fn template(&mut self, name: &str) -> Option<Template> {
        let path = self.path(name)?;
        let text = match bounded::read(&path, bounded::TEMPLATE) {
            Ok(text) => text,
            Err(error) => {
                self.wrong(name, format!("failed reading the template: {error}"));
                return None;
            }
        };
        match text.parse() {
            Ok(template) => Some(template),
            Err(error) => {
                self.wrong(name, format!("failed reading the template: {error}"));
                None
            }
        }
    }
}
