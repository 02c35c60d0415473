//! Which route serves which request: rules one by one, `tests/router/*.case` for those
//! Kong's own tests describe, and random histories against a linear scan.

#[path = "router/histories.rs"]
mod histories; // patched, rebuilt, scanned
#[path = "router/differential.rs"]
mod differential; // against Kong's matcher
#[path = "router/kong.rs"]
mod kong; // what that is given
#[path = "router/world.rs"]
mod world; // routes and requests made up
#[path = "router/lists.rs"]
mod lists; // of routes at one place
#[path = "router/crowds.rs"]
mod crowds; // at one path
#[path = "router/expressions.rs"]
mod expressions; // the same for routes that are expressions

use engine::router::{Fields, Match, RequestView, RouteTable, Scheme};
use engine::snapshot::{RouterOptions, Snapshot, compile};
use model::entities::Route;
use model::testing::{cases, revision, route};
use model::value::path::normal_form;
use model::{Config, Flavor};
use serde_json::{Value, json};
use world::Headers;

/// A case is routes, one a line, an empty line, and requests: `METHOD host/path`.
#[test]
fn cases() {
    cases::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/router"), |input| {
        let (routes, requests) = input.split_once("\n\n").expect("routes and requests");
        let table = table(routes);
        let answer = |request| format!("{request} -> {}\n", find(&table, request));
        requests.lines().map(answer).collect()
    });
}

#[test]
fn a_longer_prefix_goes_first() {
    check("1 paths=/v1\n2 paths=/v1/users", "GET /v1/users/7", "2 /v1/users");
    check("2 paths=/v1\n1 paths=/v1/users", "GET /v1/users/7", "1 /v1/users");
}

#[test]
fn a_prefix_does_not_end_at_a_segment() {
    check("1 paths=/foo", "GET /foobar", "1 /foo");
}

#[test]
fn a_prefix_matches_itself_and_nothing_shorter() {
    check("1 paths=/foo", "GET /foo", "1 /foo");
    check("1 paths=/foo", "GET /fo", "none");
    check("1 paths=/foo/", "GET /foo", "none");
}

#[test]
fn more_attributes_go_before_a_longer_prefix() {
    check("1 paths=/a methods=GET\n2 paths=/a/b/c", "GET /a/b/c", "1 /a");
}

// What Kong does, not what it documents.
#[test]
fn a_host_goes_before_more_attributes_without_one() {
    check("1 hosts=a.com\n2 paths=/a methods=GET", "GET a.com/a", "1");
}

#[test]
fn a_route_that_does_not_match_leaves_the_request_to_a_lesser_one() {
    let routes = "1 hosts=a.com paths=/a methods=PUT\n2 hosts=a.com\n3 paths=/a";
    check(routes, "PUT a.com/a", "1 /a");
    check(routes, "GET a.com/a", "2");
    check(routes, "GET b.com/a", "3 /a");
    check(routes, "GET b.com/b", "none");
}

#[test]
fn of_equals_the_larger_id_wins() {
    check("1 paths=/a\n2 paths=/a", "GET /a", "2 /a");
    check("2 paths=/a\n1 paths=/a", "GET /a", "2 /a");
    check("1 hosts=a.com paths=/a\n2 hosts=a.com paths=/a", "GET a.com/a", "2 /a");
}

// All for `/a` have the same priority. The ids of the parts are UUIDv5s that start with 5f
// and 0d, so that the route that is whole wins, whichever of the two it is.
#[test]
fn a_part_of_a_split_route_has_an_id_of_its_own() {
    check("8201 hosts=a.com paths=/abc,/a\n8202 hosts=a.com paths=/a", "GET a.com/a", "8202 /a");
    check("8202 hosts=a.com paths=/abc,/a\n8201 hosts=a.com paths=/a", "GET a.com/a", "8201 /a");
}

#[test]
fn each_length_of_prefix_ranks_by_itself() {
    let routes = "1 paths=/foo,/foo/bar/baz\n2 paths=/foo/bar";
    check(routes, "GET /foo/bar/baz", "1 /foo/bar/baz");
    check(routes, "GET /foo/bar", "2 /foo/bar");
    check(routes, "GET /foo", "1 /foo");
}

#[test]
fn the_case_of_a_host_does_not_count() {
    check("1 hosts=API.shop.io", "GET api.SHOP.io/", "1");
}

#[test]
fn the_case_of_paths_and_methods_counts() {
    check("1 paths=/a", "GET /A", "none");
    check("1 methods=GET", "get /", "none");
}

#[test]
fn a_host_with_a_port_demands_the_port() {
    check("1 hosts=a.com:81", "GET a.com:81/", "1");
    check("1 hosts=a.com:81", "GET a.com:82/", "none");
    check("1 hosts=a.com:81", "GET a.com/", "none");
}

#[test]
fn the_port_is_that_of_the_listener_unless_the_client_names_one() {
    check("1 hosts=a.com:8000", "GET a.com/", "1");
    check("1 hosts=a.com:8000", "GET a.com:80/", "none");
    check("1 hosts=a.com:8000", "GET a.com:108000/", "none");
}

#[test]
fn a_host_without_a_port_takes_any() {
    check("1 hosts=a.com", "GET a.com:81/", "1");
    check("1 hosts=[::1]", "GET [::1]:81/", "1");
    check("1 hosts=::1", "GET [::1]:81/", "1");
    check("1 hosts=[::1]:81", "GET [::1]:81/", "1");
    check("1 hosts=[::1]:81", "GET [::1]/", "none");
}

#[test]
fn a_request_without_a_host_has_the_routes_that_ask_for_none() {
    check("1 hosts=a.com\n2 paths=/", "GET /", "2 /");
}

#[test]
fn methods_without_a_bit_of_their_own_are_told_apart() {
    let routes = "1 methods=PURGE,GET\n2 methods=LINK";
    check(routes, "PURGE /", "1");
    check(routes, "LINK /", "2");
    check(routes, "UNLINK /", "none");
    check("1 paths=/", "UNLINK /", "1 /");
}

#[test]
fn a_path_that_is_not_utf8_has_no_route() {
    let table = table("1 paths=/");
    assert!(table.find(&RequestView::new(b"a.com", 80, b"/\xfc\x80", b"GET")).is_none());
    assert!(table.find(&RequestView::new(b"a.com", 80, "/ü".as_bytes(), b"GET")).is_some());
}

#[test]
fn a_wildcard_stands_for_any_number_of_labels() {
    check("1 hosts=*.a.io", "GET x.a.io/", "1");
    check("1 hosts=*.a.io", "GET y.x.A.io/", "1");
    check("1 hosts=*.a.io", "GET .a.io/", "1");
    check("1 hosts=*.a.io", "GET a.io/", "none");
    check("1 hosts=*.a.io", "GET xa.io/", "none");
    check("1 hosts=a.*", "GET a.b.io/", "1");
    check("1 hosts=a.*", "GET ab.io/", "none");
}

#[test]
fn a_plain_host_goes_before_a_wildcard_and_that_before_none() {
    let routes = "1 hosts=x.a.io\n2 hosts=*.a.io paths=/\n3 paths=/";
    check(routes, "GET x.a.io/", "1");
    check(routes, "GET y.a.io/", "2 /");
    check(routes, "GET b.io/", "3 /");
}

#[test]
fn of_two_wildcards_the_larger_id_wins() {
    check("1 hosts=*.a.io\n2 hosts=*.io", "GET x.a.io/", "2");
    check("2 hosts=*.a.io\n1 hosts=*.io", "GET x.a.io/", "2");
    check("1 hosts=*.a.io\n2 hosts=x.*", "GET x.a.io/", "2");
}

#[test]
fn a_wildcard_may_have_a_port() {
    check("1 hosts=*.a.io:81", "GET x.a.io:81/", "1");
    check("1 hosts=*.a.io:81", "GET x.a.io:82/", "none");
}

#[test]
fn a_name_longer_than_any_is_under_its_wildcards() {
    let label = "x".repeat(300);
    check("1 hosts=*.a.io\n2 hosts=b.*", &format!("GET {label}.a.io/"), "1");
    check("1 hosts=*.a.io\n2 hosts=b.*", &format!("GET b.{label}/"), "2");
}

#[test]
fn a_regex_starts_where_the_path_does_and_ends_anywhere() {
    check(r"1 paths=~/a/\d+", "GET /a/12/b", "1 /a/12");
    check(r"1 paths=~/a/\d+", "GET /b/a/12", "none");
    check(r"1 paths=~/a/\d+$", "GET /a/12/b", "none");
    check("1 paths=~/a", "GET /A", "none");
}

// Kong puts `^` before the expression, and no parentheses around it.
#[test]
fn only_the_first_alternative_of_a_regex_must_be_at_the_start() {
    check("1 paths=~/a|/b", "GET /a/b", "1 /a");
    let table = table("1 paths=~/a|/b");
    let found = table.find(&RequestView::new(b"", 80, b"/x/b", b"GET")).expect("a route");
    assert_eq!(found.prefix_len, 2);
}

#[test]
fn a_regex_goes_before_a_prefix_and_more_attributes() {
    check("1 paths=~/a\n2 paths=/a/b/c", "GET /a/b/c", "1 /a");
    check("1 paths=~/a\n2 paths=/a methods=GET", "GET /a", "1 /a");
    check("1 paths=~/a\n2 paths=/a hosts=a.io", "GET a.io/a", "2 /a");
}

#[test]
fn of_regexes_the_higher_priority_wins_then_the_larger_id() {
    check("2 paths=~/a regex_priority=1\n1 paths=~/a/b regex_priority=2", "GET /a/b", "1 /a/b");
    check("2 paths=~/a\n1 paths=~/a/b", "GET /a/b", "2 /a");
}

#[test]
fn of_the_regexes_of_a_route_the_first_that_matches_counts() {
    check("1 paths=~/a,~/a/b", "GET /a/b", "1 /a");
    check("1 paths=~/a/b,~/a", "GET /a/b", "1 /a/b");
    check("1 paths=/a/b/c,~/a/b,~/a", "GET /a/b/c", "1 /a/b");
}

#[test]
fn groups_of_a_regex_have_numbers_and_names() {
    let table = table(r"1 paths=~/(?<kind>\w+)/(\d+)?(x*),~/plain");
    let groups = |path: &str| {
        let view = RequestView::new(b"", 80, path.as_bytes(), b"GET");
        let found = table.find(&view).expect("a route").captures(&view)?;
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        assert_eq!(found.name("kind"), found.get(1));
        Some(
            found
                .numbered()
                .map(|(group, part)| format!("{group}={}", text(part)))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        groups("/a/7/x"),
        Some(vec!["0=/a/7".into(), "1=a".into(), "2=7".into(), "3=".into()])
    );
    assert_eq!(groups("/a/"), Some(vec!["0=/a/".into(), "1=a".into(), "3=".into()]));
    assert_eq!(groups("/plain"), None);
}

#[test]
fn headers_must_all_be_there_each_with_one_of_its_values() {
    let routes = r#"1 headers={"x-a":["1","2"],"b":["3"]}"#;
    check_headers(routes, "x_a: 2, b: 3", "1");
    check_headers(routes, "x_a: 4, x_a: 1, b: 3", "1");
    check_headers(routes, "x_a: 1", "none");
    check_headers(routes, "x_a: 1, b: 4", "none");
}

#[test]
fn the_case_of_a_headers_value_does_not_count() {
    check_headers(r#"1 headers={"x-a":["Yes"]}"#, "x_a: yEs", "1");
    check_headers(r#"1 headers={"x-a":["~*^y.s$"]}"#, "x_a: YES", "1");
}

// Kong lower-cases the expression, which makes `\D` a digit.
#[test]
fn the_classes_of_a_headers_regex_keep_their_meaning() {
    check_headers(r#"1 headers={"x-a":["~*^\\D+$"]}"#, "x_a: abc", "1");
    check_headers(r#"1 headers={"x-a":["~*^\\D+$"]}"#, "x_a: 123", "none");
}

#[test]
fn more_headers_go_first() {
    let routes = "1 headers={\"a\":[\"1\"],\"b\":[\"1\"]}\n2 headers={\"a\":[\"1\"]}";
    check_headers(routes, "a: 1, b: 1", "1");
    check_headers(routes, "a: 1, b: 2", "2");
}

#[test]
fn a_server_name_is_asked_for_with_tls_only() {
    let table = table(r#"1 snis=a.io,*.b.io"#);
    let find = |scheme, sni: Option<&'static str>| {
        let view = RequestView::new(b"", 80, b"/", b"GET");
        let sni = sni.map(str::as_bytes);
        table.find(&RequestView { scheme, sni, ..view }).is_some()
    };
    assert!(find(Scheme::Https, Some("a.io")) && find(Scheme::Https, Some("X.B.io")));
    assert!(!find(Scheme::Https, Some("b.io")) && !find(Scheme::Https, None));
    assert!(find(Scheme::Http, None));
}

#[test]
fn many_hosts_times_many_prefixes_match_as_few_do() {
    let hosts: Vec<_> = (0..20).map(|i| format!("h{i}.com")).collect();
    let paths: Vec<_> = (0..20).map(|i| format!("/{i:02}")).collect();
    let routes = format!("1 hosts={} paths={}\n2 paths=/", hosts.join(","), paths.join(","));
    check(&routes, "GET h7.com/13/x", "1 /13");
    check(&routes, "GET h7.com/20/x", "2 /");
    check(&routes, "GET h7.com/1", "2 /");
    check(&routes, "GET h20.com/13", "2 /");
}

#[test]
fn more_children_than_a_node_holds_by_itself() {
    let letters = ('!'..='~').filter(|c| !"./%=, ".contains(*c));
    let routes: String = letters.clone().map(|c| format!("{} paths=/{c}/x\n", c as u32)).collect();
    for letter in letters {
        let expected = format!("{} /{letter}/x", letter as u32);
        check(&routes, &format!("GET /{letter}/x/y"), &expected);
    }
    check(&routes, "GET / /x", "none");
}

#[test]
fn a_long_path_and_everything_on_the_way_there() {
    let long = "/0123456789".repeat(300);
    let ends: Vec<_> = (1..60).chain([600, 3300]).collect();
    let lines = ends.iter().map(|end| format!("{end} paths={}", &long[..*end]));
    let table = table(&lines.collect::<Vec<_>>().join("\n"));
    for end in &ends {
        let found = table.find(&RequestView::new(b"", 80, &long.as_bytes()[..*end], b"GET"));
        assert_eq!(found.expect("a route").prefix_len, *end);
    }
}

#[test]
fn every_expression_goes_before_every_other_route() {
    let routes = "1 expression=http.path^=\"/a\"\n2 hosts=a.io paths=/a/b methods=GET";
    check(routes, "GET a.io/a/b", "1 /a");
    check(routes, "GET a.io/b", "none");
}

#[test]
fn of_expressions_the_higher_priority_wins_then_the_larger_id() {
    let path = |id: u32, priority: u32| {
        format!(
            "{id} expression=http.path^=\"/{}\" priority={priority}",
            ["", "a"][id as usize % 2]
        )
    };
    check(&format!("{}\n{}", path(2, 1), path(1, 2)), "GET /a", "1 /a");
    check(&format!("{}\n{}", path(2, 2), path(1, 1)), "GET /a", "2 /");
    check(&format!("{}\n{}", path(2, 1), path(1, 1)), "GET /a", "2 /");
}

#[test]
fn protocols_count_where_routes_may_be_expressions() {
    let route = |protocol: &str| format!("1 paths=/ protocols={protocol}");
    let other = "\n2 expression=http.path==\"/other\"";
    check(&route("https"), "GET /", "1 /");
    check(&(route("https") + other), "GET /", "1 /");
    check(&(route("http") + other), "GET /", "1 /");
    let find = |routes: &str| {
        let view = RequestView::new(b"", 80, b"/", b"GET");
        table(routes).find(&RequestView { scheme: Scheme::Https, ..view }).is_some()
    };
    assert!(find(&route("http")) && !find(&(route("http") + other)));
}

#[test]
fn an_expression_strips_and_captures_what_it_found_in_the_path() {
    let table = table(r#"1 expression=http.path~"^/(?<kind>\\w+)/(x)?"&&http.headers.v~"(1)""#);
    let headers = Headers(vec![("v".to_owned(), "21".to_owned())]);
    let view = RequestView::new(b"", 80, b"/a/b", b"GET").with_fields(&headers);
    let found = table.find(&view).expect("a route");
    assert_eq!(found.prefix_len, 3);
    let captures = found.captures(&view).expect("groups");
    assert_eq!(captures.name("kind"), Some(&b"a"[..]));
    // Kong's matcher has one table of groups for all regular expressions.
    assert_eq!(captures.numbered().collect::<Vec<_>>(), [(0, &b"1"[..]), (1, b"1")]);
    assert_eq!(captures.named().collect::<Vec<_>>(), [("kind", &b"a"[..])]);
}

// A board that asked for each of its names would ask 3,000 times.
/// Fields that count how often they are asked for.
struct Sent<'a> {
    fields: Vec<(&'a str, &'a str)>,
    asked: &'a std::cell::Cell<usize>,
}

impl Fields for Sent<'_> {
    fn values<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        self.asked.set(self.asked.get() + 1);
        let fold = |name: &str| name.to_lowercase().replace('-', "_").into_bytes();
        let of_name = self.fields.iter().filter(move |field| fold(field.0) == name);
        of_name.map(|field| field.1.as_bytes())
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

/// Counts how often it is asked for a field.
struct Counting(std::cell::Cell<usize>);

impl Fields for Counting {
    fn values<'f>(&'f self, _: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        self.0.set(self.0.get() + 1);
        std::iter::once(&b"probe"[..])
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::empty()
    }
}

// The first thing each expression asks for is a field, so that what is asked for is how many
// were evaluated.
#[test]
fn expressions_are_looked_up_rather_than_tried() {
    let kinds = [
        r#"http.path=="/N""#,
        r#"http.path^="/N/""#,
        r#"http.path~"^/N/[a-z]""#,
        r#"http.host=="hN.io""#,
        r#"http.host=="shop.io"&&http.path^="/N/"&&http.method=="GET""#,
        r#"(http.host=="aN.io"||http.host=="bN.io")&&http.path=="/x""#,
        r#"http.host=^".dN.io""#,
        r#"any(http.headers.tenant)=="tN""#,
    ];
    let routes: Vec<_> = (0..10_000usize)
        .map(|number| {
            let kind = kinds[number % kinds.len()].replace('N', &number.to_string());
            format!("{number} expression=http.headers.p~\"p\"&&{kind}")
        })
        .collect();
    let table = table(&routes.join("\n"));
    let mut found = 0;
    for number in 0..10_000 {
        let hosts = ["", "shop.io", "h{}.io", "a{}.io", "x.d{}.io"];
        let host = hosts[number % hosts.len()].replace("{}", &number.to_string());
        for path in [format!("/{number}"), format!("/{number}/a"), "/x".to_owned()] {
            let fields = Counting(Default::default());
            let view = RequestView::new(host.as_bytes(), 80, path.as_bytes(), b"GET");
            found += usize::from(table.find(&view.with_fields(&fields)).is_some());
            // One is for the list of those that ask for a tenant.
            assert!(fields.0.get() <= 4, "{} at {host}{path}", fields.0.get());
        }
    }
    assert!(found > 5_000, "{found}");
}

#[track_caller]
fn check(routes: &str, request: &str, expected: &str) {
    assert_eq!(find(&table(routes), request), expected, "{request}");
}

/// The table of routes such as `1 hosts=a.com,b.com:81 paths=/a methods=GET`. The name
/// of a route is the end of its id.
fn table(routes: &str) -> RouteTable {
    let mut config = Config::default();
    for line in routes.lines() {
        config.write(parse(line));
    }
    // With an expression among them, all are of that flavor.
    let has_expressions = routes.contains(" expression=");
    let router_flavor = if has_expressions { Flavor::Expressions } else { Flavor::default() };
    let options = RouterOptions { router_flavor, ..RouterOptions::default() };
    let snapshot = compile(&revision(1, config), &Snapshot::empty_for(options));
    snapshot.unwrap_or_else(|problems| panic!("{problems:?}")).routes
}

fn parse(line: &str) -> Route {
    let mut words = line.split(' ');
    let name = words.next().expect("a name");
    let id = format!("e8fb37f1-102d-461e-9c51-6608a6bb{name:0>4}");
    words
        .map(|word| word.split_once('=').expect("field=values"))
        .fold(route(name).with("id", id), |route, (field, values)| {
            route.with(field, value(field, values))
        })
        .build()
}

/// A list of texts, unless it is JSON of another kind.
fn value(field: &str, text: &str) -> Value {
    if field == "expression" {
        return text.into();
    }
    let other = serde_json::from_str(text).ok().filter(|value: &Value| !value.is_string());
    other.unwrap_or_else(|| json!(text.split(',').collect::<Vec<_>>()))
}

/// The route of a request for `/` with fields such as `x_a: 1, b: 2`.
#[track_caller]
fn check_headers(routes: &str, fields: &str, expected: &str) {
    let field = |field: &str| {
        let (name, value) = field.split_once(": ").expect("a name and a value");
        (name.to_owned(), value.to_owned())
    };
    let headers = Headers(fields.split(", ").map(field).collect());
    let table = table(routes);
    let view = RequestView::new(b"", 80, b"/", b"GET").with_fields(&headers);
    assert_eq!(answer(table.find(&view), b"/"), expected, "{fields}");
}

/// The route of `METHOD host/path` and the prefix it matched.
fn find(table: &RouteTable, request: &str) -> String {
    let (method, rest) = request.split_once(' ').expect("a method");
    let (host, path) = rest.split_at(rest.find('/').expect("a path"));
    let path = normal_form(path.as_bytes());
    let view = RequestView::new(host.as_bytes(), 8000, &path, method.as_bytes());
    answer(table.find(&view), &path)
}

fn answer(found: Option<Match<'_>>, path: &[u8]) -> String {
    let Some(found) = found else { return "none".to_owned() };
    let name = found.route.name.as_ref().map_or("", |name| name.as_str());
    let prefix = String::from_utf8_lossy(&path[..found.prefix_len]);
    format!("{name} {prefix}").trim_end().to_owned()
}
