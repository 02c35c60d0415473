//! Certificates, the names they are shown for, and authorities, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use serde_json::{Value, json};
use support::Plane;
use support::pem::{Pair, authority, pair, rsa};

fn body(pair: &Pair, snis: Value) -> Value {
    let mut body = json!({ "cert": pair.cert, "key": pair.key });
    if !snis.is_null() {
        body["snis"] = snis;
    }
    body
}

async fn names(plane: &Plane, certificate: &str) -> Vec<String> {
    let (status, list) = plane.get(&format!("/certificates/{certificate}/snis")).await;
    assert_eq!(status, 200, "{list}");
    let mut names: Vec<String> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sni| sni["name"].as_str().unwrap().into())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn names_are_written_and_shown_with_their_certificate() {
    let plane = Plane::start().await;
    let before = plane.server.revisions().borrow().id.version;
    let made = plane.create("/certificates", body(&pair("a"), json!(["b.test", "*.a.test"]))).await;
    assert_eq!(made["snis"], json!(["*.a.test", "b.test"]));
    assert_eq!(plane.server.revisions().borrow().id.version, before + 1, "one revision");
    let id = made["id"].as_str().unwrap();

    assert_eq!(plane.get(&format!("/certificates/{id}")).await, (200, made.clone()));
    assert_eq!(plane.get("/certificates/b.test").await, (200, made.clone()));
    assert_eq!(plane.get("/certificates").await.1["data"], json!([made]));
    let missing = json!({ "message": "SNI not found" });
    assert_eq!(plane.get("/certificates/c.test").await, (404, missing));

    // PATCH keeps them, replaces them, clears them.
    let patch = async |change: Value| plane.send("PATCH", "/certificates/b.test", change).await;
    assert_eq!(patch(json!({ "tags": ["t"] })).await.1["snis"], json!(["*.a.test", "b.test"]));
    assert_eq!(
        patch(json!({ "snis": ["b.test", "c.test"] })).await.1["snis"],
        json!(["b.test", "c.test"])
    );
    assert_eq!(names(&plane, id).await, ["b.test", "c.test"]);
    assert_eq!(patch(json!({ "snis": null })).await.1["snis"], json!([]));

    // PUT without them clears them, and an unknown name makes a certificate of that name.
    let path = format!("/certificates/{id}");
    plane.send("PATCH", &path, json!({ "snis": ["b.test"] })).await;
    let (status, put) = plane.send("PUT", &path, body(&pair("a"), Value::Null)).await;
    assert_eq!((status, &put["snis"], &put["id"]), (200, &json!([]), &json!(id)));
    let (status, new) =
        plane.send("PUT", "/certificates/new.test", body(&pair("n"), Value::Null)).await;
    assert_eq!((status, &new["snis"]), (200, &json!(["new.test"])));

    // They go with their certificate.
    assert_eq!(plane.send("DELETE", "/certificates/new.test", Value::Null).await.0, 204);
    assert_eq!(plane.get("/snis/new.test").await.0, 404);
}

#[tokio::test]
async fn a_name_belongs_to_one_certificate() {
    let plane = Plane::start().await;
    let made = plane.create("/certificates", body(&pair("a"), json!(["a.test"]))).await;
    let count = plane.server.revisions().borrow().config.len();
    for (snis, message) in [
        (json!(["b.test", "b.test"]), "schema violation (snis: b.test is duplicated)".to_owned()),
        (
            json!(["a.test"]),
            format!(
                "schema violation (snis: a.test already associated with existing certificate '{}')",
                made["id"].as_str().unwrap()
            ),
        ),
        (
            json!(["*.*"]),
            "schema violation (snis.1: only one wildcard must be specified)".to_owned(),
        ),
        (json!(["10.0.0.1"]), "schema violation (snis.1: must not be an IP)".to_owned()),
        (json!(7), "schema violation (snis: expected an array)".to_owned()),
    ] {
        let (status, refused) = plane.send("POST", "/certificates", body(&pair("b"), snis)).await;
        assert_eq!((status, &refused["message"]), (400, &json!(message)));
    }
    assert_eq!(plane.server.revisions().borrow().config.len(), count, "nothing is half written");
    let sni = json!({ "name": "a.test", "certificate": { "id": made["id"] } });
    assert_eq!(plane.send("POST", "/snis", sni).await.0, 409);
    assert_eq!(plane.get("/snis/a.test/certificate").await.0, 404, "as in Kong");
}

#[tokio::test]
async fn a_certificate_in_use_stays_with_all_its_names() {
    let plane = Plane::start().await;
    let made = plane.create("/certificates", body(&pair("a"), json!(["a.test"]))).await;
    let service = json!({ "name": "s", "url": "https://up.test", "client_certificate": { "id": made["id"] } });
    plane.create("/services", service).await;
    let (status, refused) = plane.send("DELETE", "/certificates/a.test", Value::Null).await;
    assert_eq!((status, &refused["code"]), (400, &json!(4)));
    assert_eq!(refused["fields"], json!({ "@referenced_by": "services" }));
    assert_eq!(plane.get("/snis/a.test").await.0, 200);
    let under = plane.get("/certificates/a.test/services").await.1;
    assert_eq!(under["data"][0]["name"], "s");
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_at_its_field() {
    let plane = Plane::start().await;
    let Pair { cert, key } = pair("a");
    let other = rsa("a");
    for (body, field, starts) in [
        (json!({ "cert": "x", "key": key }), "cert", "invalid certificate: "),
        (json!({ "cert": key, "key": key }), "cert", "invalid certificate: "),
        (json!({ "cert": cert, "key": "x" }), "key", "invalid key: "),
        (json!({ "cert": cert, "key": cert }), "key", "invalid key: "),
        (json!({ "cert": cert }), "key", "required field missing"),
    ] {
        let (status, refused) = plane.send("POST", "/certificates", body).await;
        let said = refused["fields"][field].as_str().unwrap_or_default();
        assert!(status == 400 && said.starts_with(starts), "{refused}");
    }
    for (alternative, starts) in [
        (json!({ "cert_alt": other.cert }), "all or none of these fields"),
        (json!({ "cert_alt": cert, "key_alt": key }), "certificate and alternative certificate"),
    ] {
        let mut body = json!({ "cert": cert, "key": key });
        body.as_object_mut().unwrap().extend(alternative.as_object().unwrap().clone());
        let (status, refused) = plane.send("POST", "/certificates", body).await;
        let said = refused["fields"]["@entity"][0].as_str().unwrap_or_default();
        assert!(status == 400 && said.starts_with(starts), "{refused}");
    }
    let both = json!({ "cert": cert, "key": key, "cert_alt": other.cert, "key_alt": other.key });
    assert_eq!(plane.send("POST", "/certificates", both).await.0, 201);
}

#[tokio::test]
async fn an_authority_is_one_valid_ca_certificate() {
    let plane = Plane::start().await;
    let (good, old, leaf) = (authority("a", 365), authority("b", 0), pair("c"));
    let made =
        plane.create("/ca_certificates", json!({ "cert": good.cert, "cert_digest": "mine" })).await;
    let digest = made["cert_digest"].as_str().unwrap();
    assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{digest}");
    let twice = plane.send("POST", "/ca_certificates", json!({ "cert": good.cert })).await;
    assert_eq!((twice.0, &twice.1["code"]), (409, &json!(5)));
    for (cert, says) in [
        (format!("{}{}", good.cert, good.cert), "please submit only one certificate at a time"),
        (old.cert, "certificate expired"),
        (leaf.cert, "certificate does not appear to be a CA"),
    ] {
        let (status, refused) =
            plane.send("POST", "/ca_certificates", json!({ "cert": cert })).await;
        assert!(status == 400 && refused["message"].as_str().unwrap().contains(says), "{refused}");
    }

    let id = made["id"].as_str().unwrap();
    let service = json!({ "url": "https://up.test", "ca_certificates": [id] });
    let service = plane.create("/services", service).await["id"].clone();
    let path = format!("/ca_certificates/{id}");
    let (status, refused) = plane.send("DELETE", &path, Value::Null).await;
    let said = format!(
        "ca certificate {id} is still referenced by services (id = {})",
        service.as_str().unwrap()
    );
    assert_eq!((status, &refused["code"], &refused["message"]), (400, &json!(19), &json!(said)));
    plane.send("DELETE", &format!("/services/{}", service.as_str().unwrap()), Value::Null).await;
    assert_eq!(plane.send("DELETE", &path, Value::Null).await.0, 204);
}
