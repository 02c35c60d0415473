//! The request that a command line describes: a URL, options that say more or otherwise, or
//! options alone.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use http::Uri;
use model::explain::Question;
use model::schema;
use serde_json::{Map, Value};

/// A request.
#[derive(Debug, Default, Args)]
pub(super) struct Given {
    /// The request's URL; the options say more, or otherwise
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// Its Host, with the port if the client names one
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Its path, and the query behind a `?` [default: /]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Its method [default: GET]
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,
    /// A header field; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Whether it comes over TLS: http or https [default: http]
    #[arg(long, value_name = "SCHEME")]
    scheme: Option<String>,
    /// The version of HTTP it comes by: 1.0, 1.1 or 2 [default: one that serves it]
    #[arg(long, value_name = "VERSION")]
    http_version: Option<String>,
    /// The server name of the handshake, empty for none [default: the Host]
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// The port it arrives at, where its Host names none [default: 80, or 443 for https]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// The client's address [default: 127.0.0.1]
    #[arg(long, value_name = "IP[:PORT]")]
    source: Option<String>,
}

impl Given {
    /// What is asked, about as many other routes as `limit` says.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn question(&self, limit: Option<u16>) -> anyhow::Result<Question> {
        let mut mistakes = Vec::new();
        if self.url.is_none() && self.host.is_none() && self.path.is_none() {
            mistakes.push("no request: give a URL, or --host and --path".to_owned());
        }
        let mut fields = self.of_url(&mut mistakes);
        self.of_options(&mut fields, &mut mistakes);
        fields.extend(limit.map(|limit| ("limit".to_owned(), limit.into())));
        match schema::check(Value::Object(fields)) {
            Ok(question) if mistakes.is_empty() => return Ok(question),
            Ok(_) => {}
            Err(violations) => {
                mistakes.extend(violations.messages().into_iter().map(|(field, message)| {
                    match field.split('.').next() {
                        Some("headers") => format!("--header: {message}"),
                        Some(field) if !field.is_empty() => {
                            format!("--{}: {message}", field.replace('_', "-"))
                        }
                        _ => message.into_owned(),
                    }
                }))
            }
        }
        let lines = mistakes.iter().fold(String::new(), |mut lines, mistake| {
            let _ = write!(lines, "\n  {mistake}");
            lines
        });
        bail!("this is no request:{lines}")
    }

    fn of_url(&self, mistakes: &mut Vec<String>) -> Map<String, Value> {
        let mut fields = Map::new();
        let Some(given) = &self.url else { return fields };
        // As curl takes it.
        let url = if given.contains("://") { given.clone() } else { format!("http://{given}") };
        let uri = match url.parse::<Uri>() {
            Ok(uri) => uri,
            Err(error) => {
                mistakes.push(format!("{given}: {error}"));
                return fields;
            }
        };
        let mut set = |field: &str, value: Value| fields.insert(field.to_owned(), value);
        let scheme = uri.scheme_str().unwrap_or("http");
        if scheme != "http" && scheme != "https" {
            mistakes.push(format!("{given}: expected a URL for http or https"));
            return fields;
        }
        set("scheme", scheme.into());
        if let Some(target) = uri.path_and_query() {
            set("path", target.as_str().into());
        }
        let host = uri.host().unwrap_or_default();
        // Clients do not name the port that goes without saying.
        match uri.port_u16().filter(|port| Some(*port) != usual_port(scheme)) {
            Some(port) => set("host", format!("{host}:{port}").into()),
            None => set("host", host.into()),
        };
        fields
    }

    fn of_options(&self, fields: &mut Map<String, Value>, mistakes: &mut Vec<String>) {
        for (field, given) in [
            ("host", &self.host),
            ("path", &self.path),
            ("method", &self.method),
            ("scheme", &self.scheme),
            ("http_version", &self.http_version),
            ("sni", &self.sni),
            ("source", &self.source),
        ] {
            fields.extend(given.as_ref().map(|text| (field.to_owned(), text.as_str().into())));
        }
        if let Some(port) = &self.port {
            let port = port.parse::<i64>().map_or_else(|_| port.as_str().into(), Value::from);
            fields.insert("port".to_owned(), port);
        }
        let mut headers = Map::new();
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':') else {
                mistakes.push(format!("--header {header}: expected `Name: value`"));
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            // What people say to curl.
            if name.eq_ignore_ascii_case("host") {
                fields.insert("host".to_owned(), value.into());
                continue;
            }
            let values = headers.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            values.as_array_mut().into_iter().for_each(|values| values.push(value.into()));
        }
        if !headers.is_empty() {
            fields.insert("headers".to_owned(), headers.into());
        }
    }
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn url(text: &str) -> Given {
        Given { url: Some(text.to_owned()), ..Given::default() }
    }

    #[test]
    fn a_url_is_a_request() {
        check(
            &url("https://a.io/v1?x=y#z"),
            &json!({ "scheme": "https", "host": "a.io", "path": "/v1?x=y" }),
        );
        check(&url("http://u:p@a.io:80"), &json!({ "host": "a.io" }));
        check(&url("https://a.io:80"), &json!({ "host": "a.io:80", "scheme": "https" }));
        check(&url("a.io:8000/x"), &json!({ "host": "a.io:8000", "path": "/x" }));
        check(&url("http://[::1]:81/"), &json!({ "host": "[::1]:81" }));
    }

    #[test]
    fn options_go_before_the_url() {
        let given = Given {
            host: Some("b.io".to_owned()),
            method: Some("POST".to_owned()),
            headers: vec!["X-A: 1".to_owned(), "x-b:2".to_owned(), "X-A: a: b".to_owned()],
            port: Some("8000".to_owned()),
            source: Some("10.0.0.1:7".to_owned()),
            sni: Some(String::new()),
            http_version: Some("1.1".to_owned()),
            ..url("a.io/x")
        };
        check(
            &given,
            &json!({
                "host": "b.io", "path": "/x", "method": "POST", "port": 8000, "sni": "",
                "http_version": "1.1",
                "source": "10.0.0.1:7", "headers": { "X-A": ["1", "a: b"], "x-b": ["2"] },
            }),
        );
        let given = Given { headers: vec!["hOst: c.io".to_owned()], ..url("a.io/x") };
        check(&given, &json!({ "host": "c.io", "path": "/x" }));
    }

    #[test]
    fn all_that_is_wrong_is_told_together() {
        let given = Given {
            url: Some("ftp://a.io".to_owned()),
            path: Some("v1".to_owned()),
            method: Some("get".to_owned()),
            headers: vec!["x".to_owned(), "a b: c".to_owned()],
            scheme: Some("gopher".to_owned()),
            http_version: Some("3".to_owned()),
            port: Some("0".to_owned()),
            source: Some("here".to_owned()),
            ..Given::default()
        };
        let error = given.question(None).unwrap_err().to_string();
        for line in [
            "\n  ftp://a.io: expected a URL for http or https",
            "\n  --header x: expected `Name: value`",
            "\n  --header: bad header name 'a b'",
            "\n  --method: invalid value: get",
            "\n  --path: should start with: /",
            "\n  --port: value should be between 1 and 65535",
            "\n  --http-version: expected one of: 1.0, 1.1, 2",
            "\n  --scheme: expected one of: http, https",
            "\n  --source: invalid address: 'here'",
        ] {
            assert!(error.contains(line), "{line}\n{error}");
        }
        let error = Given::default().question(None).unwrap_err().to_string();
        assert!(error.contains("no request"), "{error}");
        assert!(url("http://a b/").question(None).is_err());
    }

    #[track_caller]
    fn check(given: &Given, expected: &Value) {
        let found = given.question(Some(7)).unwrap();
        let mut expected = expected.clone();
        expected["limit"] = 7.into();
        assert_eq!(found, schema::check::<Question>(expected).unwrap());
    }
}
