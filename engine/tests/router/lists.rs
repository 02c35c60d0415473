//! Lists of routes at one place, and what they are split by.

use super::*;

#[test]
fn a_list_of_routes_that_differ_in_a_header_or_the_method_is_not_walked() {
    let headers = (0..500).map(|i| format!("{} headers={{\"v\":[\"{i}\"]}} paths=/", 1000 + i));
    let methods = (0..500).map(|i| {
        let name: String = format!("{i:03}").bytes().map(|digit| (digit + 17) as char).collect();
        format!("{} methods=M{name} paths=/", 2000 + i)
    });
    let routes: Vec<_> = headers.chain(methods).chain(["1 paths=/".to_owned()]).collect();
    let routes = routes.join("\n");
    check_headers(&routes, "v: 7", "1007 /");
    check_headers(&routes, "v: 500, v: 499", "1499 /");
    check_headers(&routes, "v: 500", "1 /");
    check(&routes, "MAAH /", "2007 /");
    check(&routes, "MZZZ /", "1 /");
}

#[test]
fn a_route_found_by_a_value_is_still_asked_for_all_else() {
    let routes =
        (0..20).map(|i| format!("{} headers={{\"v\":[\"Of-a-Long-Name-{i}\"]}}", 1000 + i));
    let others = [
        r#"2000 headers={"v":["of-a-long-name-7"],"w":["1"]}"#,
        r#"2001 headers={"v":["of-a-long-name-8"]} methods=POST"#,
        r#"2002 headers={"v":["of-a-long-name-9"]} methods=GET"#,
        r#"2003 headers={"w":["of-a-long-name-5"]}"#,
    ];
    let routes: Vec<_> = routes.chain(others.map(str::to_owned)).collect();
    let routes = routes.join("\n");
    check_headers(&routes, "v: of-a-LONG-name-7", "1007");
    check_headers(&routes, "v: of-a-LONG-name-7, w: 1", "2000");
    check_headers(&routes, "v: Of-a-Long-Name-8", "1008");
    check_headers(&routes, "v: Of-a-Long-Name-9", "2002");
    check_headers(&routes, "w: of-a-long-name-5", "2003");
    check_headers(&routes, "w: of-a-long-name-6", "none");
    check_headers(&routes, "v: of-a-long-name-20", "none");
}

#[test]
fn of_equals_found_by_different_headers_the_larger_id_wins() {
    let of = |from: u32, name: &str| {
        let route = |i| format!("{} headers={{\"{name}\":[\"{i}\"]}}", from + i);
        (0..10).map(route).collect::<Vec<_>>()
    };
    let last = r#"3000 headers={"a":["x"]}"#.to_owned();
    let routes = [of(1000, "a"), of(2000, "b"), vec![last]].concat().join("\n");
    check_headers(&routes, "a: 1", "1001");
    check_headers(&routes, "a: 1, b: 2", "2002");
    check_headers(&routes, "a: x, b: 2", "3000");
    check_headers(&routes, "a: 1, b: x, a: x", "3000");
}

#[test]
fn regexes_in_a_list_that_is_split_know_what_is_no_digit() {
    let methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "LINK"];
    let routes = (1000..).zip(methods);
    let routes = routes.map(|(id, method)| format!("{id} paths=~/[0-9]+$ methods={method}"));
    let routes = routes.chain(["1 paths=/".to_owned()]).collect::<Vec<_>>().join("\n");
    check(&routes, "PUT /42", "1002 /42");
    check(&routes, "PUT /4/2", "1 /");
    check(&routes, "PUT /%C3%A92", "1 /");
    check(&routes, "LINK /42", "1008 /42");
    check(&routes, "LINK /%C3%A92", "1 /");
}

#[test]
fn very_many_names_of_headers_are_not_asked_for() {
    let name = |number: u32| format!("x-name-{number}");
    let routes = (1..=3_000)
        .map(|number| format!("{number} paths=/ headers={{\"{}\":[\"a\"]}}", name(number)));
    let table = table(&routes.collect::<Vec<_>>().join("\n"));
    for number in [1, 77, 1_500, 3_000] {
        let expected = Some(format!("{number:04}"));
        let found = |name: String, value: &str| {
            let asked = Default::default();
            let fields = Sent { fields: vec![("accept", "*/*"), (&name, value)], asked: &asked };
            let view = RequestView::new(b"", 80, b"/x", b"GET").with_fields(&fields);
            let found = table.find(&view).map(|found| found.route.id.to_string().split_off(32));
            assert!(asked.get() <= 1, "{} at {name}", asked.get());
            found
        };
        assert_eq!(found(name(number), "a"), expected);
        assert_eq!(found(name(number).to_uppercase().replace('-', "_"), "A"), expected);
        assert_eq!(found(name(number), "b"), None);
        assert_eq!(found(name(number + 3_000), "a"), None);
    }
}
