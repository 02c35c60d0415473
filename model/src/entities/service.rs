//! A service: an upstream API and how to speak to it.

use serde_json::Value;
use uuid::Uuid;

use crate::entities::Certificate;
use crate::schema::{Check, Literal, Object, Record, Rule, Shorthand};
use crate::value::{Host, Millis, Name, Path, Protocol, Reference, Tags, Timestamp, url};
use crate::{Entity, Id};

/// An upstream API: where requests go once a route has matched.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "services", checks = CHECKS, shorthands = &[URL])]
pub struct Service {
    /// Identifies the service.
    #[field(auto)]
    pub id: Id<Service>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
    /// What it is called; stands for the id in URLs.
    #[field(unique)]
    pub name: Option<Name>,
    /// How many more targets are tried when one fails.
    #[field(default = 5, between = (0, 32767))]
    pub retries: Option<u16>,
    /// How the upstream is spoken to.
    #[field(default = "http")]
    pub protocol: Protocol,
    /// The upstream's name or address, or the name of an upstream entity.
    pub host: Host,
    /// The upstream's port.
    #[field(default = 80)]
    pub port: u16,
    /// What is put before the path of every request.
    pub path: Option<Path>,
    /// How long connecting may take, in milliseconds.
    #[field(default = 60000)]
    pub connect_timeout: Option<Millis>,
    /// How long the upstream may take to accept more bytes, in milliseconds.
    #[field(default = 60000)]
    pub write_timeout: Option<Millis>,
    /// How long the upstream may take to send more bytes, in milliseconds.
    #[field(default = 60000)]
    pub read_timeout: Option<Millis>,
    /// Labels to list services by.
    pub tags: Option<Tags>,
    /// The certificate shown to the upstream.
    pub client_certificate: Option<Reference<Certificate>>,
    /// Whether the upstream's certificate is verified; null leaves it to the gateway.
    pub tls_verify: Option<bool>,
    /// How many intermediate certificates the upstream's chain may have.
    #[field(between = (0, 64))]
    pub tls_verify_depth: Option<u16>,
    /// The CA certificates the upstream's chain may end in.
    pub ca_certificates: Option<Vec<Uuid>>,
    /// Whether routes to this service are served at all.
    #[field(default = true)]
    pub enabled: bool,
}

/// What says nothing where the protocol carries no path or no TLS.
const CHECKS: &[Check] = &[
    must_be_null(
        "path",
        Rule::OneOf(&[
            Literal::Text("tcp"),
            Literal::Text("tls"),
            Literal::Text("udp"),
            Literal::Text("grpc"),
            Literal::Text("grpcs"),
        ]),
    ),
    must_be_null("client_certificate", WITHOUT_TLS),
    must_be_null("tls_verify", WITHOUT_TLS),
    must_be_null("tls_verify_depth", WITHOUT_TLS),
    must_be_null("ca_certificates", WITHOUT_TLS),
];

const WITHOUT_TLS: Rule = Rule::NotOneOf(&[Literal::Text("https"), Literal::Text("tls")]);

const fn must_be_null(field: &'static str, protocol: Rule) -> Check {
    Check::When { field: "protocol", is: protocol, then: field, must: Rule::Null, message: None }
}

const URL: Shorthand = Shorthand {
    name: "url",
    doc: "Sets protocol, host, port and path at once, over what they say themselves.",
    expand: expand_url,
};

/// The scheme is inferred from the port, and the port from the scheme.
fn expand_url(text: &str, service: &mut Object) {
    let url = url::split(text);
    let port =
        url.port.map(|port| port.parse::<i64>().map_or_else(|_| Value::from(port), Value::from));
    let protocol = url.scheme.unwrap_or(match url.port {
        Some("443") => "https",
        _ => "http",
    });
    let usual = if protocol == "https" { 443 } else { 80 };
    service.insert("protocol".to_owned(), protocol.into());
    service.insert("host".to_owned(), url.host.into());
    service.insert("port".to_owned(), port.unwrap_or_else(|| usual.into()));
    service.insert("path".to_owned(), url.path.into());
}

impl Entity for Service {
    const ENDPOINT_KEY: Option<&'static str> = Some("name");
}
