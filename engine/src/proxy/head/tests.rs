//! What a `Head` promises about its fields and its edits.

use super::*;
use proptest::prelude::*;

fn head(fields: &[(&'static str, &'static str)]) -> Head {
    let pairs = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Head::request(b"GET", b"/", Version::Http11, pairs)
}

fn show<L>(head: &Head<L>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields =
        head.iter().map(|(name, value)| format!("{}: {}", text(name.as_bytes()), text(value)));
    fields.collect::<Vec<_>>().join("; ")
}

#[test]
fn fields_keep_order_and_spelling() {
    let head = head(&[("hOsT", "a"), ("X-Tra", "1"), ("accept", "*/*"), ("X-tra", "2")]);
    assert_eq!(show(&head), "hOsT: a; X-Tra: 1; accept: */*; X-tra: 2");
}

#[test]
fn first_and_all_values_of_a_name() {
    let head = head(&[("Cookie", "a"), ("x-y", "1"), ("cookie", "b"), ("X-Y", "2")]);
    assert_eq!(head.get(Known::Cookie), Some(&b"a"[..]));
    assert_eq!(head.get_all(Known::Cookie).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(head.get_named("X-y"), Some(&b"1"[..]));
    assert_eq!(head.get_named("COOKIE"), Some(&b"a"[..]));
    assert_eq!(head.get_all_named("X-Y").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.get(Known::Host), None);
}

#[test]
fn set_replaces_in_place_and_drops_the_others() {
    let mut head = head(&[("via", "1"), ("x", "y"), ("Via", "2")]);
    head.set(Known::Via, b"3");
    assert_eq!(show(&head), "Via: 3; x: y");
    head.set("X", b"z");
    assert_eq!(show(&head), "Via: 3; X: z");
    head.set("new", b"");
    assert_eq!(show(&head), "Via: 3; X: z; new: ");
}

#[test]
fn remove_then_add_is_found_again() {
    let mut head = head(&[("Host", "a"), ("Host", "b")]);
    head.remove("hOST");
    assert_eq!(head.get(Known::Host), None);
    head.add(Known::Host, b"c");
    assert_eq!(head.get(Known::Host), Some(&b"c"[..]));
    assert_eq!(show(&head), "Host: c");
}

#[test]
fn edits_are_remembered_in_order_and_only_if_they_changed_something() {
    let mut head = head(&[("Proxy", "x")]);
    head.remove(Known::Cookie);
    head.remove("nobody");
    head.remove(Known::Proxy);
    head.add("X-A", b"1");
    head.set("X-A", b"2");
    let edits: Vec<String> = head.edits().map(|edit| format!("{edit:?}")).collect();
    let expected = ["Remove(Proxy)", "Add(X-A, [49])", "Set(X-A, [50])"].map(str::to_owned);
    assert_eq!(edits, expected);
}

#[test]
fn a_value_cannot_end_the_field_and_a_name_must_be_a_token() {
    let mut head = head(&[]);
    head.set("x", b"a\r\nInjected: 1\0\tb");
    head.add("bad name", b"1");
    head.add("bad\r\n", b"1");
    head.set("", b"1");
    assert_eq!(show(&head), "x: a  Injected: 1 \tb");
}

#[test]
fn the_target_cannot_end_the_request_line() {
    let mut head = head(&[]);
    head.set_target(b"/a b\r\n?\x7f\xc3\xa4");
    assert_eq!(head.target(), b"/a%20b%0D%0A?%7F\xc3\xa4");
    assert_eq!(head.raw_target(), b"/");
}

#[test]
fn a_response_head_is_clean_too() {
    let fields = [(&b"X"[..], &b"a\nb"[..])];
    let head = Head::response(Version::Http11, 200, b"OK\r\n", fields);
    assert_eq!((head.status(), head.reason()), (200, &b"OK  "[..]));
    assert_eq!(show(&head), "X: a b");
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: prop::test_runner::RngSeed::Fixed(9110),
        failure_persistence: None,
        ..Default::default()
    })]

    /// Repeating the edits on the head as it arrived gives the head as it is.
    #[test]
    fn repeating_the_edits_gives_the_same_head(
        steps in prop::collection::vec((0..3u8, 0..6usize, "[ -~]{0,6}"), 0..40),
    ) {
        const NAMES: [&str; 6] = ["Host", "via", "x-a", "X-A", "x-b", "Cookie"];
        let start = [("host", "h"), ("X-a", "1"), ("x-A", "2"), ("via", "v")];
        let mut edited = head(&start);
        for (kind, name, value) in &steps {
            let name = NAMES[*name];
            match kind {
                0 => edited.set(name, value.as_bytes()),
                1 => edited.add(name, value.as_bytes()),
                _ => edited.remove(name),
            }
        }
        let mut repeated = head(&start);
        for edit in edited.edits() {
            match edit {
                Edit::Set(name, value) => repeated.set(name.as_bytes(), value),
                Edit::Add(name, value) => repeated.add(name.as_bytes(), value),
                Edit::Remove(name) => repeated.remove(name.as_bytes()),
            }
        }
        prop_assert_eq!(show(&edited), show(&repeated));
        for &known in Known::ALL {
            let scanned = edited.iter().find(|(name, _)| name.known() == Some(known));
            prop_assert_eq!(edited.get(known), scanned.map(|(_, value)| value));
        }
    }
}
