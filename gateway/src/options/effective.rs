//! The configuration in force, as `GET /` of the Admin API shows it: every
//! property with the value that counts, secrets hidden, listeners taken apart.

use serde_json::{Map, Value, json};

use super::listen::{Listen, parse_listeners};
use super::reader::{MASK, Reader, items};
use crate::properties::{self, Kind, Property, Standing};

/// Listener properties, and the name under which Kong shows them taken apart.
const LISTENERS: [(&str, &str); 5] = [
    ("proxy_listen", "proxy_listeners"),
    ("stream_listen", "stream_listeners"),
    ("admin_listen", "admin_listeners"),
    ("status_listen", "status_listeners"),
    ("cluster_listen", "cluster_listeners"),
];

impl Reader<'_> {
    /// Every property by name.
    pub(super) fn effective(&self, database: &str) -> Map<String, Value> {
        let own = properties::all().filter(|p| !matches!(p.standing, Standing::Mapped(_)));
        let mut shown: Map<_, _> =
            own.map(|property| (property.name.to_owned(), self.value(property))).collect();
        for (property, name) in LISTENERS {
            let told = self.counting(property).filter(|_| self.reference(property).is_none());
            let listeners = told.map(|text| parse_listeners(property, text));
            let listeners = listeners.and_then(Result::ok).unwrap_or_default();
            shown.insert(name.to_owned(), listeners.iter().map(listener).collect());
        }
        shown.insert("database".to_owned(), database.into());
        // Clients index into these; what this version does not serve is an empty list.
        shown.insert("admin_gui_listeners".to_owned(), json!([]));
        shown
    }

    fn value(&self, property: &Property) -> Value {
        let Some(text) = self.counting(property.name) else { return Value::Null };
        let (text, is_reference) = match self.reference(property.name) {
            Some(reference) => (reference, true),
            None => (text, false),
        };
        match property.kind {
            _ if property.is_secret() => MASK.into(),
            Kind::Flag | Kind::Whole | Kind::Number if is_reference => text.into(),
            Kind::Flag => matches!(text, "on" | "true").into(),
            Kind::Whole => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
            Kind::Number => text.parse::<f64>().map_or_else(|_| text.into(), number),
            Kind::List | Kind::Listen => items(text).into(),
            // The text of a certificate is no secret, but it is no path either.
            Kind::Pem if text.contains("-----BEGIN") => "(inline)".into(),
            _ => text.into(),
        }
    }

    /// What was said of a property, where it has references to vaults in it.
    fn reference(&self, name: &str) -> Option<&str> {
        let (used, setting) = self.said(name)?;
        self.secrets.get(used).map(|_| setting.text.as_str())
    }
}

/// Whole numbers print without a fraction, as clients written in Go demand.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

fn listener(listen: &Listen) -> Value {
    let backlog = match listen.backlog {
        Some(n) => (format!("backlog={n}"), true),
        None => ("backlog=%d+".to_owned(), false),
    };
    let mut shown = json!({
        "ip": listen.addr.ip(),
        "port": listen.addr.port(),
        "ssl": listen.tls,
        "http2": listen.http2,
        "proxy_protocol": listen.proxy_protocol,
        "deferred": listen.idle_flags.iter().any(|flag| flag == "deferred"),
        "bind": false,
        "reuseport": true,
        "listener": listen.addr.to_string(),
    });
    shown[backlog.0] = backlog.1.into();
    if listen.udp {
        shown["udp"] = true.into();
    }
    shown
}
