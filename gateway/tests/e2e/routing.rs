//! Any of Kong's routing cases can be loaded with `POST /config` and tried: some of them, as an operator
//! and a client would. The engine's own tests try all.

use serde_json::{Value, json};

use crate::support::{DbLess, Origin, Site, raw};

const CASES: &str = include_str!("../../../engine/tests/router/kong.json");

/// Every so many of those that apply.
const EVERY: usize = 5;

#[tokio::test]
async fn a_case_can_be_loaded_and_tried() {
    let site = Site::new().await;
    let origin = Origin::start("any").await;
    let mut node = DbLess::new(&site);
    node.process.set("allow_debug_header", "on");
    node.process.set("port_maps", format!("80:{}", node.proxy.port()));
    node.start().await;

    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let cases: Vec<_> = cases.iter().filter(|case| applies(case)).step_by(EVERY).collect();
    assert!(cases.len() > 20, "{}", cases.len());
    for case in cases {
        let name = &case["id"];
        let loaded = node.load(&document(case, &origin).to_string()).await;
        assert_eq!(loaded.status, 201, "{name}: {loaded:?}");
        let answer = raw(node.proxy, &request(case)).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let expected = &case["expect"];
        let route = head.lines().find_map(|line| line.strip_prefix("Kong-Route-Id: "));
        assert_eq!(json!(route), expected["route"], "{name}: {answer}");
        if expected["upstream_scheme"].is_null() {
            assert!(body.contains(" with those values"), "{name}: {answer}");
            continue;
        }
        let seen: Value = serde_json::from_str(body).unwrap();
        assert_eq!(seen["target"], expected["upstream_target"], "{name}");
        let host = expected["upstream_host"].as_str().map(str::to_owned);
        assert_eq!(seen["headers"]["host"], host.unwrap_or(origin.address.to_string()), "{name}");
    }
}

/// Whether it is one that this node has routes, and HTTP/1.1 has words for.
fn applies(case: &Value) -> bool {
    let request = &case["request"];
    let is_plain = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let routes = case["routes"].as_array().unwrap();
    let is_written =
        |path: &Value| is_plain(path) || path.as_str().is_some_and(|p| p.starts_with('~'));
    case["flavors"].as_array().unwrap().contains(&json!("traditional_compatible"))
        && case.get("deviation").is_none()
        && request["scheme"] == "http"
        && request["method"] != "TRACE"
        && request["host"].is_string()
        && case["via"] != "select"
        && is_plain(&request["path"])
        && routes.iter().all(|route| {
            let paths = route["paths"].as_array().into_iter().flatten();
            matches!(route["service"]["protocol"].as_str(), None | Some("http"))
                && paths.into_iter().all(is_written)
        })
}

/// The routes of a case; whatever its services are, they are at the origin.
fn document(case: &Value, origin: &Origin) -> Value {
    let mut services = Vec::new();
    let routes = case["routes"].as_array().unwrap().iter().map(|route| {
        let mut route = route.clone();
        if let Some(service) = route.get("service") {
            let (name, at) = (format!("s{}", services.len()), origin.address);
            services.push(json!({
                "name": name, "host": at.ip(), "port": at.port(), "path": service.get("path"),
            }));
            route["service"] = name.into();
        }
        route
    });
    let routes: Vec<Value> = routes.collect();
    json!({ "_format_version": "3.0", "services": services, "routes": routes })
}

fn request(case: &Value) -> String {
    let request = &case["request"];
    let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
    let fields = request["headers"].as_object().into_iter().flatten().flat_map(|(name, value)| {
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        values.into_iter().map(move |value| format!("{name}: {}\r\n", value.as_str().unwrap()))
    });
    let fields: String = fields.collect();
    let line = format!("{} {} HTTP/1.1\r\nHost: {}", text("method"), text("path"), text("host"));
    format!("{line}\r\n{fields}Kong-Debug: 1\r\nConnection: close\r\n\r\n")
}
