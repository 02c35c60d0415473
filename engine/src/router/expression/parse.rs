//! Text to syntax: a recursive descent that stops at the first thing out of place.
//!
//! It accepts what Kong's grammar accepts, up to the bounds below, with one exception:
//! `notin` in one word, which makes Kong's own parser panic. A value that is wrong in
//! itself, such as a number too large, is noted and read on.

use super::literal::Scan;
use super::mistake::{Mistake, Mistakes, Problem};
use super::syntax::{At, Comparison, Operator, Syntax};
use super::tree::Tree;

/// The longest expression that is read, in bytes.
pub(super) const LONGEST: usize = 256 * 1024;
/// How deep parentheses may be nested.
pub(super) const DEEPEST: usize = 64;

/// Reads an expression. Values that are wrong in themselves are told in `mistakes` and
/// missing in the result.
pub(super) fn parse<'t>(text: &'t str, mistakes: &mut Mistakes<'t>) -> Result<Syntax<'t>, Mistake> {
    if text.len() > LONGEST {
        let problem = Problem::TooLong { length: text.len(), most: LONGEST };
        return Err(Mistake::at(text, 0, problem));
    }
    let mut parser = Parser { scan: Scan::new(text), depth: 0, mistakes };
    let syntax = parser.expression()?;
    if parser.scan.is_done() {
        return Ok(syntax);
    }
    Err(parser.scan.unexpected("`&&`, `||` or the end"))
}

struct Parser<'t, 'm> {
    scan: Scan<'t>,
    depth: usize,
    mistakes: &'m mut Mistakes<'t>,
}

impl<'t> Parser<'t, '_> {
    /// Groups joined with `&&`, which binds less than `||` does.
    fn expression(&mut self) -> Result<Syntax<'t>, Mistake> {
        let mut parts = vec![self.group()?];
        while self.scan.take("&&") {
            parts.push(self.group()?);
        }
        Ok(Tree::join(parts, Tree::All))
    }

    fn group(&mut self) -> Result<Syntax<'t>, Mistake> {
        let mut parts = vec![self.term()?];
        while self.scan.take("||") {
            parts.push(self.term()?);
        }
        Ok(Tree::join(parts, Tree::Any))
    }

    fn term(&mut self) -> Result<Syntax<'t>, Mistake> {
        if self.scan.take("!") {
            if !self.scan.take("(") {
                return Err(self.scan.unexpected("`(`, as only what is in parentheses is negated"));
            }
            return Ok(Tree::Not(Box::new(self.parenthesised()?)));
        }
        if self.scan.take("(") {
            return self.parenthesised();
        }
        self.comparison().map(Tree::Leaf)
    }

    /// What follows an opening parenthesis, and the closing one.
    fn parenthesised(&mut self) -> Result<Syntax<'t>, Mistake> {
        if self.depth == DEEPEST {
            return Err(self.scan.mistake(Problem::TooDeep(DEEPEST)));
        }
        self.depth += 1;
        let inner = self.expression()?;
        self.depth -= 1;
        self.close("`&&`, `||` or `)`")?;
        Ok(inner)
    }

    fn comparison(&mut self) -> Result<Comparison<'t>, Mistake> {
        let (mut lower, mut any, mut open) = (false, false, 0usize);
        let field = loop {
            let name = self.name(if open == 0 { "a field, `(` or `!(`" } else { "a field" })?;
            if !self.scan.take("(") {
                break name;
            }
            open += 1;
            match name.it {
                "lower" => lower = true,
                "any" => any = true,
                unknown => {
                    self.mistakes.note(name.at, Problem::Transform(unknown.to_owned()));
                }
            }
        };
        for _ in 0..open {
            self.close("`)`")?;
        }
        let operator = self.operator().map_err(|mistake| self.hyphen(&field).unwrap_or(mistake))?;
        let value = self.scan.literal(self.mistakes)?;
        Ok(Comparison { field, lower, any, operator, value })
    }

    fn name(&mut self, expected: &'static str) -> Result<At<&'t str>, Mistake> {
        self.scan.name().ok_or_else(|| self.scan.unexpected(expected))
    }

    fn operator(&mut self) -> Result<At<Operator>, Mistake> {
        let at = self.scan.next_at();
        // White space of any kind may be between the two words.
        let is_not = self.scan.take_word("not");
        let found = if is_not {
            self.scan.take("in").then_some(Operator::NotIn)
        } else {
            let mut written = Operator::WRITTEN.into_iter();
            written.find(|(text, _)| self.scan.take(text)).map(|(_, operator)| operator)
        };
        let it = found.ok_or_else(|| {
            let expected = if is_not { "`in`" } else { "an operator such as `==`" };
            self.scan.unexpected(expected)
        })?;
        Ok(At { at, it })
    }

    /// What to say if a field goes on with a hyphen, as headers do in requests.
    fn hyphen(&mut self, field: &At<&str>) -> Option<Mistake> {
        let is_header = field.it.starts_with("http.headers.");
        let is_cut = is_header && self.scan.clone().take("-");
        is_cut.then(|| self.scan.mistake(Problem::Hyphen))
    }

    fn close(&mut self, expected: &'static str) -> Result<(), Mistake> {
        if self.scan.take(")") { Ok(()) } else { Err(self.scan.unexpected(expected)) }
    }
}
