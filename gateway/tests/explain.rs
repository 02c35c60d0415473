//! `gateway explain` as an operator meets it: the real binary, of a file and of a node; and
//! what it foretells is what an upstream then sees.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr as Address, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a command said and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// A route was found.
    #[track_caller]
    fn found(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out
    }

    /// It was asked, and there is no route.
    #[track_caller]
    fn not_found(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(1), ""), "{self:?}");
        self.out
    }

    /// It could not be asked.
    #[track_caller]
    fn badly(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{self:?}");
        assert!(self.err.starts_with("Error: "), "{self:?}");
        self.err
    }
}

/// The program, without the settings of whoever runs the tests.
fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("GATEWAY_") || name.starts_with("KONG_") || name == "NOTIFY_SOCKET" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn explain(args: &[&str]) -> Said {
    let output = gateway().arg("explain").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A directory with a declarative configuration.
struct Place {
    dir: TempDir,
}

const ROUTES: &str = r#"
routes:
- {name: users, hosts: [api.test], paths: [/v1/users], service: orders}
- {name: writes, paths: [/v1], methods: [POST, PUT], headers: {x-tenant: [a, b]}, service: orders}
- {name: numbers, paths: ['~/v1/(?<number>\d+)'], strip_path: false, service: orders}
- {name: kept, hosts: ["*.kept.test"], preserve_host: true, service: orders}
- {name: secure, paths: [/secure], protocols: [https], https_redirect_status_code: 302, service: orders}
- {name: nobody, paths: [/nobody]}
"#;

impl Place {
    fn new(origin: &str) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let service = format!("services: [{{name: orders, url: '{origin}/base'}}]");
        fs::write(place.path("kong.yml"), format!("_format_version: '3.0'\n{service}{ROUTES}"))
            .unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn of_file(&self, args: &[&str]) -> Said {
        explain(&[&["--file", &self.at("kong.yml")], args].concat())
    }
}

#[test]
fn a_file_needs_no_node() {
    let place = Place::new("http://10.0.0.1:9000");
    let said =
        place.of_file(&["https://api.test/v1/users/7?x=y", "-X", "POST", "-H", "x-tenant: c"]);
    let said = said.found();
    for line in [
        "POST /v1/users/7 over https for api.test, port 443, SNI api.test\n",
        "6 routes, router_priority = kong_effective\n",
        "Served by route users (",
        "  hosts       api.test\n",
        "  paths       /v1/users matches /v1/users, which is taken off\n",
        "  service     orders (",
        "  upstream    http://10.0.0.1:9000/base/7?x=y\n",
        "  Host        10.0.0.1:9000\n",
        "2 routes match but for one attribute:\n  writes (",
        "      headers: wants x-tenant: a or b; the request has x-tenant: c",
    ] {
        assert!(said.contains(line), "{line:?}\n{said}");
    }
}

#[test]
fn what_loses_is_told_with_the_reason() {
    let place = Place::new("http://10.0.0.1:9000");
    let said = place.of_file(&["--path", "/v1/7", "--method", "PUT", "--header", "X-Tenant: A"]);
    let said = said.found();
    for line in [
        "Served by route numbers (",
        "which stays\n",
        "\nWith router_priority = documented, route writes (",
        " would serve it, by the number of attributes: 3 attributes against 1.\n",
        "\nOne route matches as well, and comes later:\n  writes (",
        "      by regular expressions: a regular expression against a prefix of 3 bytes; first in the other order",
    ] {
        assert!(said.contains(line), "{line:?}\n{said}");
    }
}

#[test]
fn routes_are_read_as_the_node_reads_them() {
    let place = Place::new("http://10.0.0.1:9000");
    let routes = r#"
- {name: v1, expression: 'http.path ^= "/v1" && http.host == "api.test"', priority: 2, service: orders}
- {name: get, expression: 'http.path ^= "/v1" && http.method == "GET"', priority: 1, service: orders}
- {name: prefix, paths: [/v1], protocols: [http], service: orders}
"#;
    let service = "services: [{name: orders, url: 'http://10.0.0.1:9000/base'}]";
    fs::write(place.path("e.yml"), format!("_format_version: '3.0'\n{service}\nroutes:{routes}"))
        .unwrap();
    let file = place.at("e.yml");
    let asked = ["--file", file.as_str(), "http://api.test/v1/x"];
    let said = explain(&asked).badly();
    assert!(said.contains("expression: unknown field: it is there where router_flavor"), "{said}");

    let settings = format!("router_flavor = expressions\nprefix = {}\n", place.at("prefix"));
    fs::write(place.path("e.conf"), settings).unwrap();
    let conf = place.at("e.conf");
    let by_conf = explain(&[&asked[..], &["-c", &conf]].concat()).found();
    let mut by_variable = gateway();
    by_variable.arg("explain").args(asked).env("GATEWAY_ROUTER_FLAVOR", "expressions");
    let by_variable = by_variable.output().unwrap();
    assert_eq!(String::from_utf8(by_variable.stdout).unwrap(), by_conf);
    for line in [
        "Served by route v1 (",
        "  expression  http.path ^= \"/v1\" && http.host == \"api.test\"\n",
        "  upstream    http://10.0.0.1:9000/base/x\n",
        "2 routes match as well, and come later:\n  get (",
        "      by the priority of expressions: priority 2 against 1\n",
        "      by the priority of expressions: an expression against a route without one\n",
    ] {
        assert!(by_conf.contains(line), "{line:?}\n{by_conf}");
    }
    let said = explain(&["--file", &file, "-c", &conf, "https://other.test/v1", "-X", "PUT"]);
    let said = said.not_found();
    for line in [
        "expression: wants http.host == \"api.test\"; the request has something else\n",
        "expression: wants http.method == \"GET\"; the request has something else\n",
        "protocols: wants http; the request has https\n",
    ] {
        assert!(said.contains(line), "{line:?}\n{said}");
    }
}

#[test]
fn without_a_route_the_exit_code_is_1() {
    let place = Place::new("http://10.0.0.1:9000");
    let said = place.of_file(&["http://api.test/v2"]).not_found();
    assert!(said.contains("No route matches: the client is answered 404."), "{said}");
    assert!(said.contains("paths: wants /v1/users; the request has /v2"), "{said}");
    let said = place.of_file(&["http://api.test/v2", "--json"]).not_found();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["matched"], &said["near_misses"][0]["attribute"]),
        (&Value::Null, &json!("paths"))
    );
}

#[test]
fn what_the_gateway_answers_itself_is_told() {
    let place = Place::new("http://10.0.0.1:9000");
    let said = place.of_file(&["http://A.test/secure?x"]).found();
    assert!(said.contains("  answer      302: the route is for https only\n"), "{said}");
    assert!(said.contains("  Location    https://a.test/secure?x\n"), "{said}");
    let said = place.of_file(&["http://a.test/nobody"]).found();
    assert!(said.contains("  answer      503: the route has no service\n"), "{said}");
}

#[test]
fn few_are_told_unless_all_are_wanted() {
    let place = Place::new("http://10.0.0.1:9000");
    let routes: String = (0..9).map(|n| format!("- {{name: r{n}, paths: [/x]}}\n")).collect();
    fs::write(place.path("many.yml"), format!("_format_version: '3.0'\nroutes:\n{routes}"))
        .unwrap();
    let many = place.at("many.yml");
    let told =
        |args: &[&str]| explain(&[&["--file", &many, "--path", "/x"], args].concat()).found();
    let few = told(&[]);
    assert!(few.contains("8 routes match as well, and come later:\n"), "{few}");
    assert!(few.contains("  … and 3 more (--all)"), "{few}");
    assert_eq!(few.matches("by id: all else is equal").count(), 5);
    assert_eq!(told(&["--all"]).matches("by id: all else is equal").count(), 8);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let said = explain(&["a.test/x", "-X", "get", "-H", "x", "--port", "http"]).badly();
    for line in [
        "this is no request:\n",
        "--header x: expected `Name: value`\n",
        "--method: invalid value: get\n",
        "--port: expected an integer\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(explain(&[]).badly().contains("no request: give a URL, or --host and --path"));
    let both = explain(&["a.test", "--file", "x", "--admin", "y"]).badly();
    assert!(both.contains("cannot be used with"), "{both}");
}

#[test]
fn a_file_that_cannot_be_served_is_an_error() {
    let place = Place::new("http://10.0.0.1:9000");
    let check = |text: &str, expected: &str| {
        fs::write(place.path("kong.yml"), text).unwrap();
        let said = place.of_file(&["http://a.test/"]).badly();
        assert!(said.contains(expected), "{expected}\n{said}");
    };
    check("_format_version: '3.0'\nroutes: [{name: a}]", "routes.1: must set one of");
    let look_ahead = "_format_version: '3.0'\nroutes: [{name: a, paths: ['~/(?=a)']}]";
    check(look_ahead, "routes.1.paths: the regular expression `/(?=a)` in `paths` looks around");
    let missing = explain(&["--file", &place.at("none.yml"), "--path", "/"]).badly();
    assert!(missing.contains("cannot read"), "{missing}");
}

#[test]
fn a_node_that_cannot_be_asked_is_an_error() {
    let nobody = free_port();
    let said = explain(&["a.test", "--admin", &nobody.to_string()]).badly();
    assert!(
        said.contains(&format!("failed to send request to http://{nobody}/debug/route")),
        "{said}"
    );
    let said = explain(&["a.test", "--admin", "https://127.0.0.1:8444"]).badly();
    assert!(said.contains("this command speaks http only"), "{said}");
    let place = Place::new("http://10.0.0.1:9000");
    for (settings, expected) in [
        ("database = off\nadmin_listen = off\n", "admin_listen has no address"),
        ("database = off\nadmin_listen = 127.0.0.1:0\n", "leaves the port to the system"),
    ] {
        let prefix = place.at("prefix");
        fs::write(place.path("g.conf"), format!("prefix = {prefix}\n{settings}")).unwrap();
        let said = explain(&["a.test", "-c", &place.at("g.conf")]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(expected), "{expected}: {said:?}");
    }
}

/// A node without a database, asked by its configuration, by its URL and by its file; and
/// sent what it was asked about.
#[test]
fn what_is_foretold_comes_true() {
    let (origin, seen) = origin();
    let place = Place::new(&format!("http://{origin}"));
    let node = Node::start(&place);
    for (host, path, method, tenant) in [
        ("api.test", "/v1/users/7?a=b", "GET", None),
        ("api.test:8000", "/v1//users/x%2f/../y", "GET", None),
        ("other.test", "/v1/42/x", "GET", None),
        ("other.test", "/v1/x", "PUT", Some("B")),
        ("a.Kept.test:81", "/x?", "GET", None),
        ("a.kept.test", "/%7Ex/a%20b", "POST", None),
    ] {
        let header = tenant.map(|tenant| format!("x-tenant: {tenant}"));
        let mut args = vec!["--json", "--host", host, "--path", path, "--method", method];
        args.extend(header.iter().flat_map(|header| ["-H", header]));
        let asked = |more: &[&str]| -> Value {
            let said = explain(&[&args, more].concat()).found();
            let mut said: Value = serde_json::from_str(&said).unwrap();
            // A file says no time of creation, so that each reading is another.
            said.as_object_mut().unwrap().remove("configuration_hash");
            said
        };
        let told = asked(&["-c", &place.at("g.conf")]);
        assert_eq!(told, asked(&["--admin", &node.admin.to_string()]), "{host}{path}");
        assert_eq!(told, asked(&["--file", &place.at("kong.yml")]), "{host}{path}");

        let header = header.map_or_else(String::new, |header| format!("{header}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert!(node.send(&request).starts_with("HTTP/1.1 200"), "{request}");
        let (target, upstream_host) = seen.recv_timeout(PATIENCE).unwrap();
        let upstream = &told["matched"]["upstream"];
        assert_eq!(upstream["uri"], format!("http://{origin}{target}"), "{host}{path}");
        assert_eq!(upstream["host"], upstream_host, "{host}{path}");
    }
    let said = explain(&["-c", &place.at("g.conf"), "http://api.test/none"]).not_found();
    assert!(said.contains("No route matches"), "{said}");
    let none = "GET /none HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
    assert!(node.send(none).starts_with("HTTP/1.1 404"));
}

struct Node {
    process: Child,
    admin: Address,
    proxy: Address,
}

impl Node {
    /// Returns once it serves what is in `kong.yml`.
    fn start(place: &Place) -> Self {
        let (admin, proxy) = (free_port(), free_port());
        let settings = format!(
            "prefix = {}\ndatabase = off\ndeclarative_config = {}\nadmin_listen = {admin}\n\
             proxy_listen = {proxy}\nstatus_listen = off\nworkers = 1\n",
            place.at("prefix"),
            place.at("kong.yml"),
        );
        fs::write(place.path("g.conf"), settings).unwrap();
        let name = format!("gateway-explain-test-{}", uuid::Uuid::new_v4());
        let socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = gateway();
        command.args(["start", "-c", &place.at("g.conf")]);
        command
            .env("NOTIFY_SOCKET", format!("@{name}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let node = Self { process: command.spawn().unwrap(), admin, proxy };
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).unwrap();
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == "READY=1") {
                return node;
            }
        }
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.proxy).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers each connection's one request with 200, and tells its target and its Host.
fn origin() -> (Address, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => head.extend_from_slice(&buffer[..length]),
                }
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let field = |line: &str| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
            };
            let host = head.lines().find_map(field).unwrap_or_default();
            if tell.send((target, host)).is_err() {
                return;
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, told)
}

fn free_port() -> Address {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
