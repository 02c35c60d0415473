//! What reaches the upstream and what comes back, byte by byte: `cases/*.case`.
//!
//! A case is configured line by line: `option NAME VALUE`, `service JSON`, `route JSON`
//! (over a service at the origin and a route for `/`), `tls` to be asked that way or `tls
//! unspoken` to be asked at that port without, `origin gone`, `origin silent`, or the
//! origin's answer in lines that begin with `<`. The request is the lines that begin with
//! `>`, but for its end where it is `unfinished`. It is asked over HTTP/1 and over HTTP/2
//! (unless `http/1 only`), and of HTTP/2 only what differs is shown. Over HTTP/1 it is asked on
//! either lane, between which nothing differs.
//!
//! Of the fields, in lower case and in order, only those are shown that are not as always:
//! see [`Case::usually_sent`] and [`usually_answered`]; one of those that is missing is shown as `no NAME`. What differs
//! from run to run has a name: `{id}` of the request, `{ms}`, `{date}`, `{origin}` for its
//! address, `{us}` for our name and version.

use engine::Options;
use engine::options::{Lanes, Media, RealIp};
use model::Config;
use model::testing::{route, service};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use crate::BOTH;
use crate::client::{Ask, Connection, Version, say};
use crate::hello::Hello;
use crate::node::Node;
use crate::support::{Act, Origin, config};

#[test]
fn what_is_sent_to_whom() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let nodes = Nodes::default();
    model::testing::cases::check(cases, |case| runtime.block_on(Case::of(case).run(&nodes)));
}

/// Engines that run: those of cases with the same options are one.
#[derive(Default)]
struct Nodes(RefCell<Vec<Running>>);

struct Running {
    options: Vec<(String, String)>,
    lanes: Lanes,
    tls: bool,
    node: Node,
    version: u64,
}

impl Nodes {
    /// One with the options of this case, which serves its configuration.
    async fn take(&self, case: &Case, lanes: Lanes, config: Config) -> Running {
        let tls = case.port != Port::Plain; // making up a certificate takes its time
        let is_alike = |running: &Running| {
            running.options == case.options && running.lanes == lanes && running.tls == tls
        };
        let alike = self.0.borrow().iter().position(is_alike);
        let Some(at) = alike else {
            let node = Node::start(config, tls, |options| {
                options.lanes = lanes;
                case.set(options);
            });
            let (options, node) = (case.options.clone(), node.await);
            return Running { options, lanes, tls, node, version: 1 };
        };
        let mut running = self.0.borrow_mut().remove(at);
        running.version += 1;
        running.node.gateway.apply(running.version, config).await;
        running
    }

    fn give_back(&self, running: Running) {
        self.0.borrow_mut().push(running);
    }
}

/// What a case says.
#[derive(Default)]
struct Case {
    options: Vec<(String, String)>,
    service: Map<String, Value>,
    /// Several, or the one for `/`.
    routes: Vec<Map<String, Value>>,
    origin: Upstream,
    port: Port,
    http1_only: bool,
    unfinished: bool,
    request: String,
}

/// Which port is asked, and how.
#[derive(Default, PartialEq)]
enum Port {
    #[default]
    Plain,
    Tls,
    PlainlyTls,
}

/// What the origin does.
#[derive(Clone, Default, PartialEq)]
enum Upstream {
    #[default]
    Fine,
    Gone,
    Silent,
    Says(String),
}

impl Case {
    fn of(text: &str) -> Case {
        let mut case = Case::default();
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match (word, rest) {
                ("#", _) => {}
                ("option", _) => {
                    let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                    case.options.push((name.to_owned(), value.to_owned()));
                }
                ("service", _) => case.service = serde_json::from_str(rest).unwrap(),
                ("route", _) => case.routes.push(serde_json::from_str(rest).unwrap()),
                ("tls", "") => case.port = Port::Tls,
                ("tls", "unspoken") => case.port = Port::PlainlyTls,
                ("unfinished", "") => case.unfinished = true,
                ("http/1", "only") => case.http1_only = true,
                ("origin", "gone") => case.origin = Upstream::Gone,
                ("origin", "silent") => case.origin = Upstream::Silent,
                (">", _) => asked.push(rest.replace("{long}", &"x".repeat(9000))),
                ("<", _) => answered.push(rest),
                _ => panic!("{line}"),
            }
        }
        case.request = message(&asked);
        if case.unfinished {
            case.request.truncate(case.request.len() - 2);
        }
        if !answered.is_empty() {
            case.origin = Upstream::Says(message(&answered));
        }
        case
    }

    async fn run(self, nodes: &Nodes) -> String {
        let origin = self.origin().await;
        let (mut over_http1, mut over_http2) = (Vec::new(), None);
        for lanes in BOTH {
            let running = nodes.take(&self, lanes, self.config(&origin)).await;
            over_http1.push(self.ask(&running.node, &origin, Version::Http1).await);
            // Which has lanes of its own.
            if over_http2.is_none() && !self.http1_only {
                over_http2 = Some(self.ask(&running.node, &origin, Version::Http2).await);
            }
            nodes.give_back(running);
        }
        let over_http1 = match over_http1.as_slice() {
            [express, pingora] if express == pingora => express.clone(),
            each => format!("the lanes differ:\n{}", each.join("\n--- off:\n")),
        };
        let Some(over_http2) = over_http2 else { return over_http1 };
        match difference(&over_http1, &over_http2) {
            same if same.is_empty() => format!("{over_http1}\nHTTP/2: the same"),
            other => format!("{over_http1}\nHTTP/2:\n{other}"),
        }
    }

    async fn origin(&self) -> Origin {
        let upstream = self.origin.clone();
        Origin::start(move |received| match &upstream {
            Upstream::Fine | Upstream::Gone => Act::say(200, &[], "fine"),
            Upstream::Silent => Act::Hang,
            Upstream::Says(text) => {
                Act::SayAndClose(text.replace("{line}", &received.line).into_bytes())
            }
        })
        .await
    }

    fn config(&self, origin: &Origin) -> Config {
        let port = match self.origin {
            Upstream::Gone => 1, // nobody has that
            _ => origin.addr.port(),
        };
        let built = service("s").with("port", port).with("retries", 0);
        let service = self.service.clone().into_iter();
        let service = service.fold(built, |built, (field, value)| built.with(&field, value));
        let service = service.build();
        let default = vec![Map::from_iter([("paths".to_owned(), Value::from(vec!["/"]))])];
        let routes = if self.routes.is_empty() { &default } else { &self.routes };
        let routes = (0..).zip(routes).map(|(number, fields)| {
            let built = route(&format!("r{number}"));
            let built = if fields.contains_key("service") { built } else { built.to(&service) };
            let fields = fields.clone().into_iter();
            fields.fold(built, |built, (field, value)| built.with(&field, value)).build()
        });
        let routes: Vec<_> = routes.collect();
        config([service], routes)
    }

    fn set(&self, options: &mut Options) {
        for (name, value) in &self.options {
            match name.as_str() {
                "trusted" => options.forwarding.trusted.push(value.parse().unwrap()),
                "real_ip_header" => options.forwarding.real_ip = RealIp::Header(value.clone()),
                "recursive" => options.forwarding.recursive = true,
                "headers_off" => options.headers = engine::options::Headers::OFF,
                "upstream_status" => options.headers.upstream_status = true,
                "allow_debug_header" => options.headers.debug = true,
                "unmapped_ports" => options.public_ports.clear(),
                "max_body" => options.max_body = Some(value.parse().unwrap()),
                "head_timeout" => {
                    options.door.head_timeout = Duration::from_millis(value.parse().unwrap());
                }
                "error_default_type" => {
                    let media = Media::ALL.iter().find(|(name, _)| name == value).unwrap();
                    options.errors.default_type = media.1;
                }
                "error_template_json" => options.errors.json = Some(value.parse().unwrap()),
                "error_template_plain" => options.errors.plain = Some(value.parse().unwrap()),
                "error_template_html" => options.errors.html = Some(value.parse().unwrap()),
                "error_template_xml" => options.errors.xml = Some(value.parse().unwrap()),
                _ => panic!("option {name}"),
            }
        }
    }

    async fn ask(&self, node: &Node, origin: &Origin, version: Version) -> String {
        let mut connection = match self.port {
            Port::Plain => node.open(version, None).await,
            Port::Tls => node.open(version, Some(Hello::to("a.test"))).await,
            Port::PlainlyTls => Connection::open(node.secure.unwrap(), version, None).await,
        };
        let before = origin.seen().len();
        let response = match &mut connection {
            // As it is written, whatever is wrong with it.
            Connection::Http1(wire) => {
                say(wire, self.request.as_bytes(), self.request.starts_with("HEAD ")).await
            }
            Connection::Http2 { .. } => connection.ask(&Ask::of(&self.request)).await.unwrap(),
        };
        let names = Names { id: response.one("X-Kong-Request-Id"), origin, node };
        let mut told = String::new();
        for seen in origin.seen().iter().skip(before) {
            told += &format!("to the upstream: {}\n", seen.line);
            let mut usual = self.usually_sent(version);
            usual.retain(|(name, _)| *name != "x-kong-request-id" || self.is_on(name));
            told += &names.shown(&seen.fields, &seen.body, usual);
        }
        if told.is_empty() {
            told += "to the upstream: nothing\n";
        }
        let upstream = response.one("Via").is_some();
        told += &format!("to the client: {}\n", response.status);
        let mut usual = usually_answered(version, upstream);
        usual.retain(|(name, _)| self.is_on(name));
        told += &names.shown(&response.fields, &response.body, usual);
        told.trim_end().to_owned()
    }

    /// Whether a field of this name is added where `headers` has its say.
    fn is_on(&self, name: &str) -> bool {
        let off = self.options.iter().any(|(option, _)| option == "headers_off");
        !off || matches!(name, "connection" | "date")
    }

    /// What an upstream is always sent.
    fn usually_sent(&self, version: Version) -> Vec<(&'static str, String)> {
        let target = self.request.split(' ').nth(1).unwrap();
        let path = target.split('?').next().unwrap();
        let tls = self.port == Port::Tls;
        let version = match version {
            Version::Http1 => "1.1",
            Version::Http2 => "2",
        };
        vec![
            ("connection", "keep-alive".to_owned()),
            ("host", "{origin}".to_owned()),
            ("via", format!("{version} {{us}}")),
            ("x-forwarded-for", "127.0.0.1".to_owned()),
            ("x-forwarded-host", "a.test".to_owned()),
            ("x-forwarded-path", path.to_owned()),
            ("x-forwarded-port", if tls { "443" } else { "80" }.to_owned()),
            ("x-forwarded-proto", if tls { "https" } else { "http" }.to_owned()),
            ("x-kong-request-id", "{id}".to_owned()),
            ("x-real-ip", "127.0.0.1".to_owned()),
        ]
    }
}

/// What a client is always answered, by an upstream or by us.
fn usually_answered(version: Version, upstream: bool) -> Vec<(&'static str, String)> {
    let mut usual = vec![
        ("date", "{date}".to_owned()),
        ("server", "{us}".to_owned()),
        ("x-kong-request-id", "{id}".to_owned()),
    ];
    if version == Version::Http1 {
        usual.push(("connection", "keep-alive".to_owned()));
    }
    if upstream {
        usual.push(("via", "1.1 {us}".to_owned()));
        usual.push(("x-kong-proxy-latency", "{ms}".to_owned()));
        usual.push(("x-kong-upstream-latency", "{ms}".to_owned()));
    } else {
        usual.push(("x-kong-response-latency", "{ms}".to_owned()));
    }
    usual
}

/// A message of these lines: an empty one ends its head.
fn message(lines: &[impl AsRef<str>]) -> String {
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    let end = if lines.contains(&"") { "" } else { "\r\n\r\n" };
    lines.join("\r\n") + end
}

/// What is called something else in every run.
struct Names<'a> {
    id: Option<&'a str>,
    origin: &'a Origin,
    node: &'a Node,
}

impl Names<'_> {
    /// The fields that are not as usual, and the body.
    fn shown(
        &self,
        fields: &[(String, String)],
        body: &[u8],
        usual: Vec<(&'static str, String)>,
    ) -> String {
        let mut fields: Vec<_> =
            fields.iter().map(|(name, value)| self.field(name, value)).collect();
        fields.retain(|(name, value)| {
            let as_long = *name == "content-length" && *value == body.len().to_string();
            !as_long || body.is_empty()
        });
        let missing = usual.iter().filter(|usual| !fields.iter().any(|field| field.0 == usual.0));
        let missing: Vec<_> = missing.map(|(name, _)| format!("no {name}\n")).collect();
        let is_usual = |(name, value): &&(String, String)| {
            usual.iter().any(|(usual, as_usual)| usual == name && as_usual == value)
                && fields.iter().filter(|field| field.0 == *name).count() == 1
        };
        let own = fields.iter().filter(|field| !is_usual(field));
        let mut lines: Vec<_> =
            own.map(|(name, value)| format!("{name}: {value}\n")).chain(missing).collect();
        lines.sort();
        if !body.is_empty() {
            let body = self.named(&String::from_utf8_lossy(body));
            lines.extend(
                body.split('\n').map(|line| format!("| {line}").trim_end().to_owned() + "\n"),
            );
        }
        lines.concat()
    }

    fn field(&self, name: &str, value: &str) -> (String, String) {
        let name = name.to_ascii_lowercase();
        let value = match name.as_str() {
            "date" => "{date}".to_owned(),
            name if name.ends_with("-latency") && value.parse::<u64>().is_ok() => "{ms}".to_owned(),
            "x-forwarded-port" if value == self.node.plain.port().to_string() => {
                "{listener}".to_owned()
            }
            "kong-route-id" | "kong-service-id" => format!("{{{} characters}}", value.len()),
            _ => self.named(value),
        };
        (name, value)
    }

    fn named(&self, text: &str) -> String {
        let mut text = text.replace(&self.origin.addr.to_string(), "{origin}");
        text = text.replace(&format!(":{}", self.origin.addr.port()), ":{port}");
        // Where the client is not told it, whatever looks like it.
        match self.id {
            Some(id) => {
                let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                assert!(id.len() == 32 && id.bytes().all(is_digit), "{id}");
                text = text.replace(id, "{id}");
            }
            None => {
                let is_id =
                    |word: &&str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
                let all = text.clone();
                for id in all.split(|c: char| !c.is_ascii_alphanumeric()).filter(is_id) {
                    text = text.replace(id, "{id}");
                }
            }
        }
        text.replace(&format!("gateway/{}", model::VERSION), "{us}")
    }
}

/// The lines that are in one text and not in the other.
fn difference(one: &str, other: &str) -> String {
    let missing = one.lines().filter(|line| !other.lines().any(|other| other == *line));
    let added = other.lines().filter(|line| !one.lines().any(|one| one == *line));
    let lines =
        missing.map(|line| format!("- {line}")).chain(added.map(|line| format!("+ {line}")));
    lines.collect::<Vec<_>>().join("\n")
}
