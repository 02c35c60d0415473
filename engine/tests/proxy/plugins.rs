//! Plugins on their way from a configuration to what clients get.

use super::support::{Gateway, Origin, Response, config};
use model::entities::{Plugin, Route, Service};
use model::testing::{route, service};
use model::{Config, Terms, schema};
use serde_json::{Value, json};

fn plugin(name: &str, more: Value) -> Plugin {
    let judge = engine::judge(engine::RouterOptions::default());
    let mut fields = json!({
        "id": uuid::Uuid::new_v4(), "name": name, "created_at": 1, "updated_at": 1,
    });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    schema::check_in(Terms { catalog: judge.catalog(), ..Terms::default() }, fields).unwrap()
}

fn redirect(scope: &str, id: impl serde::Serialize, to: &str) -> Plugin {
    let mut more = json!({ "config": { "location": to } });
    if !scope.is_empty() {
        more[scope] = json!({ "id": id });
    }
    plugin("redirect", more)
}

struct World {
    origin: Origin,
    routes: [Route; 3],
    service: Service,
    config: Config,
}

/// `/a` and `/b` lead to a service, `/c` to none.
async fn world() -> World {
    let origin = Origin::plain().await;
    let service = service("s").url(&origin.url("")).build();
    let to_service = |name: &str| route(name).path(&format!("/{name}")).to(&service).build();
    let routes = [to_service("a"), to_service("b"), route("c").path("/c").build()];
    let config = config([service.clone()], routes.clone());
    World { origin, routes, service, config }
}

fn to(response: &Response) -> Option<&str> {
    response.one("Location")
}

async fn ask(gateway: &Gateway, path: &str) -> Response {
    gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await
}

#[tokio::test]
async fn the_most_particular_plugin_of_a_type_answers() {
    let World { origin, routes: [a, _, _], service, mut config } = world().await;
    let gateway = Gateway::start(config.clone()).await;
    assert_eq!(ask(&gateway, "/a").await.status, 200);
    let seen = origin.seen().len();

    let everywhere = redirect("", (), "http://all.test/");
    let of_service = redirect("service", service.id, "http://service.test/");
    let of_route = redirect("route", a.id, "http://route.test/");
    let places = async |expected: [Option<&str>; 3]| {
        for (path, expected) in ["/a", "/b", "/c"].into_iter().zip(expected) {
            let response = ask(&gateway, path).await;
            assert_eq!(to(&response), expected, "{path}");
            if expected.is_some() {
                assert_eq!((response.status, response.text()), (301, "redirecting"));
                assert_eq!(response.one("Content-Type"), None);
                assert_eq!(response.one("Content-Length"), Some("11"));
            }
        }
    };
    config.write(everywhere.clone());
    gateway.apply(2, config.clone()).await;
    places([Some("http://all.test/"); 3]).await;
    config.write(of_service.clone());
    config.write(of_route.clone());
    gateway.apply(3, config.clone()).await;
    places(["http://route.test/", "http://service.test/", "http://all.test/"].map(Some)).await;
    config.write(Plugin { enabled: false, ..of_route });
    config.delete(model::EntityKind::Plugin, everywhere.id.uuid());
    gateway.apply(4, config.clone()).await;
    places([Some("http://service.test/"), Some("http://service.test/"), None]).await;
    assert_eq!(origin.seen().len(), seen, "nothing went on");
    assert_eq!(ask(&gateway, "/c").await.status, 503, "there is no service");
    config.delete(model::EntityKind::Plugin, of_service.id.uuid());
    gateway.apply(5, config).await;
    assert_eq!(ask(&gateway, "/a").await.status, 200);
}

#[tokio::test]
async fn a_redirected_request_keeps_its_connection_and_its_path() {
    let World { mut config, .. } = world().await;
    let told = json!({
        "location": "https://there.test:8443/x?y", "status_code": 307, "keep_incoming_path": true,
    });
    config.write(plugin("redirect", json!({ "config": told })));
    let gateway = Gateway::start(config).await;
    let mut client = gateway.connect().await;
    for (request, expected) in [
        ("POST /a/b%2fc/?d=e HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "/a/b%2Fc/?d=e"),
        ("HEAD /b HTTP/1.1\r\nHost: a\r\n\r\n", "/b"),
        ("GET /b// HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n", "/b/"),
    ] {
        let response = client.ask(request).await;
        assert_eq!(response.status, 307, "{request}");
        let place = format!("https://there.test:8443{expected}");
        assert_eq!(to(&response), Some(place.as_str()), "{request}");
        let length = if request.starts_with("HEAD") { 0 } else { 11 };
        assert_eq!(response.body.len(), length, "{request}");
    }
}
