//! Syntax to predicates: whether fields exist and what is compared with them fits.

use super::Traffic;
use super::field::{Field, Kind};
use super::mistake::{Mistakes, Problem};
use super::predicate::{AddressTest, NumberTest, Predicate, TextPredicate, TextTest};
use super::syntax::{At, Comparison, Literal, Operator, Syntax};
use super::tree::Tree;
use crate::router::regex::Regexes;
use memchr::memmem::Finder;

/// What `net.dst.port` was called.
pub(super) const OLD_PORT: &str = "net.port";

/// Checks all predicates; what is wrong with any of them goes to `mistakes`.
pub(super) fn check(
    syntax: Syntax<'_>,
    traffic: Traffic,
    regexes: &Regexes,
    mistakes: &mut Mistakes<'_>,
) -> Option<Tree<Predicate>> {
    let checker = Checker { traffic, regexes };
    syntax.map(&mut |comparison| {
        let checked = checker.predicate(comparison);
        checked.map_err(|wrong| mistakes.note(wrong.at, wrong.it)).ok()?
    })
}

struct Checker<'r> {
    traffic: Traffic,
    regexes: &'r Regexes,
}

impl Checker<'_> {
    /// The predicate; none if its value was wrong in itself.
    fn predicate(&self, comparison: Comparison<'_>) -> Result<Option<Predicate>, At<Problem>> {
        let At { at, it: operator } = comparison.operator;
        let field = checked_field(&comparison, self.traffic)?;
        let (name, kind) = (comparison.field.it, field.kind());
        let Some(expected) = operand(kind, operator) else {
            let it = Problem::Operator { operator, field: name.to_owned(), kind };
            return Err(At { at, it });
        };
        let At { at, it: Some(value) } = comparison.value else { return Ok(None) };
        let found = value.kind();
        let made = match (field, value) {
            (Field::Text(field), Literal::Text(text)) => {
                let Comparison { lower, any, .. } = comparison;
                let test = self.text_test(operator, text).map_err(|it| At { at, it })?;
                test.map(|test| Predicate::Text(TextPredicate { field, lower, any, test }))
            }
            (Field::Number(field), Literal::Number(number)) => {
                number_test(operator, number).map(|test| Predicate::Number(field, test))
            }
            (Field::Address(field), value) => {
                address_test(operator, value).map(|test| Predicate::Address(field, test))
            }
            _ => None,
        };
        made.map(Some).ok_or_else(|| {
            let field = name.to_owned();
            At { at, it: Problem::Value { field, operator, expected, found } }
        })
    }

    fn text_test(&self, operator: Operator, text: String) -> Result<Option<TextTest>, Problem> {
        Ok(Some(match operator {
            Operator::Equal => TextTest::Is(text.into()),
            Operator::NotEqual => TextTest::IsNot(text.into()),
            Operator::StartsWith => TextTest::StartsWith(text.into()),
            Operator::EndsWith => TextTest::EndsWith(text.into()),
            Operator::Contains => TextTest::Contains(Box::new(Finder::new(&text).into_owned())),
            Operator::Matches => {
                TextTest::Matches(self.regexes.for_expressions(&text).map_err(Problem::Regex)?)
            }
            _ => return Ok(None),
        }))
    }
}

fn checked_field(comparison: &Comparison<'_>, traffic: Traffic) -> Result<Field, At<Problem>> {
    let At { at, it: name } = comparison.field;
    let field = Field::named(current_name(comparison), traffic).map_err(|it| At { at, it })?;
    let kind = field.kind();
    if comparison.lower && kind != Kind::Text {
        return Err(At { at, it: Problem::Lower { field: name.to_owned(), kind } });
    }
    Ok(field)
}

/// The name a field has today. `net.port` is known where Kong rewrites it: without a
/// function around it and in a comparison.
fn current_name<'t>(comparison: &Comparison<'t>) -> &'t str {
    let is_compared = matches!(
        comparison.operator.it,
        Operator::Equal
            | Operator::NotEqual
            | Operator::AtLeast
            | Operator::Above
            | Operator::AtMost
            | Operator::Below
    );
    match comparison.field.it {
        OLD_PORT if comparison.is_bare() && is_compared => "net.dst.port",
        name => name,
    }
}

/// What an operator takes for values of this kind; none if it is not for them.
fn operand(kind: Kind, operator: Operator) -> Option<&'static str> {
    use Operator::*;
    Some(match (kind, operator) {
        (Kind::Text, Equal | NotEqual | Matches | StartsWith | EndsWith | Contains) => "a string",
        (Kind::Number, Equal | NotEqual | AtLeast | Above | AtMost | Below) => "a number",
        (Kind::Address, Equal | NotEqual) => "an IP address",
        (Kind::Address, In | NotIn) => "a network",
        _ => return None,
    })
}

fn number_test(operator: Operator, number: i64) -> Option<NumberTest> {
    Some(match operator {
        Operator::Equal => NumberTest::Is(number),
        Operator::NotEqual => NumberTest::IsNot(number),
        Operator::AtLeast => NumberTest::AtLeast(number),
        Operator::Above => NumberTest::Above(number),
        Operator::AtMost => NumberTest::AtMost(number),
        Operator::Below => NumberTest::Below(number),
        _ => return None,
    })
}

fn address_test(operator: Operator, value: Literal) -> Option<AddressTest> {
    Some(match (operator, value) {
        (Operator::Equal, Literal::Address(address)) => AddressTest::Is(address),
        (Operator::NotEqual, Literal::Address(address)) => AddressTest::IsNot(address),
        (Operator::In, Literal::Network(network)) => AddressTest::In(network),
        (Operator::NotIn, Literal::Network(network)) => AddressTest::NotIn(network),
        _ => return None,
    })
}
