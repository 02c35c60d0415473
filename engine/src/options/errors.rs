//! How errors look: the type a client gets that asks for none, and the words around
//! the message.
//!
//! A [`Template`] is taken apart when the options are read, so that what cannot be
//! filled in is a mistake at start and not in the middle of a request.

use std::str::FromStr;

/// How errors are told to clients.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    /// The type of a body where the request names none: neither in `Accept` nor as its
    /// own. Only for what fails before routing or at the upstream; what routing itself
    /// answers is JSON then.
    pub default_type: Media,
    /// What JSON bodies are made of, if not of Kong's own words.
    pub json: Option<Template>,
    /// The same for plain text.
    pub plain: Option<Template>,
    /// The same for HTML.
    pub html: Option<Template>,
    /// The same for XML.
    pub xml: Option<Template>,
}

/// The types an error's body can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// `application/json`
    Json,
    /// `text/plain`
    #[default]
    Plain,
    /// `text/html`
    Html,
    /// `application/xml`
    Xml,
}

impl Media {
    /// The types by their names, without parameters.
    pub const ALL: &[(&str, Media)] = &[
        ("application/json", Media::Json),
        ("application/xml", Media::Xml),
        ("text/html", Media::Html),
        ("text/plain", Media::Plain),
    ];
}

/// A body with up to two `%s` in it: the first becomes the message, the second the
/// request's id. `%%` is a percent sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What is around the places to be filled in: one more than those.
    parts: Vec<String>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is nothing to put into a third place.
    #[error("it has more than two %s: one is for the message, one for the request's id")]
    TooManyPlaces,
    /// A `%` that begins nothing known.
    #[error("`%` on line {line} is neither %s nor %%, which stands for a percent sign")]
    LonePercent {
        /// Which line, from 1.
        line: usize,
    },
}

impl Template {
    const MOST_PLACES: usize = 2;

    /// The body for this message and request.
    pub fn fill(&self, message: &str, request_id: &str) -> String {
        let values = [message, request_id];
        let mut parts = self.parts.iter();
        let mut body = parts.next().cloned().unwrap_or_default();
        for (value, part) in values.into_iter().zip(parts) {
            body.push_str(value);
            body.push_str(part);
        }
        body
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Template, TemplateError> {
        let (mut parts, mut part) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            part.push_str(before);
            rest = if let Some(after) = after.strip_prefix('s') {
                parts.push(std::mem::take(&mut part));
                after
            } else if let Some(after) = after.strip_prefix('%') {
                part.push('%');
                after
            } else {
                let before = text.len() - after.len();
                let line = 1 + text.bytes().take(before).filter(|&byte| byte == b'\n').count();
                return Err(TemplateError::LonePercent { line });
            };
        }
        part.push_str(rest);
        parts.push(part);
        if parts.len() > Template::MOST_PLACES + 1 {
            return Err(TemplateError::TooManyPlaces);
        }
        Ok(Template { parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_two_places_are_filled_in_order() {
        for (template, body) in [
            ("", ""),
            ("no places", "no places"),
            ("%s", "M"),
            ("a %s b %s c", "a M b R c"),
            ("100%% %s%%s", "100% M%s"),
        ] {
            let parsed: Template = template.parse().unwrap();
            assert_eq!(parsed.fill("M", "R"), body, "{template}");
        }
        // What is filled in is not looked at again.
        let twice: Template = "%s %s".parse().unwrap();
        assert_eq!(twice.fill("%s", "R"), "%s R");
    }

    #[test]
    fn what_could_not_be_filled_in_is_no_template() {
        for (template, error) in [
            ("%s%s%s", TemplateError::TooManyPlaces),
            ("a\nwidth: 50%;", TemplateError::LonePercent { line: 2 }),
            ("%", TemplateError::LonePercent { line: 1 }),
            ("%d", TemplateError::LonePercent { line: 1 }),
        ] {
            assert_eq!(template.parse::<Template>(), Err(error), "{template}");
        }
    }
}
