//! POSIX extended regular expressions, as `regcomp` with `REG_EXTENDED` has them, for the crate `regex`.
//!
//! The two syntaxes differ in details that would select other tables without an error, so that each expression is parsed
//! and written again. An expression that programs understand differently is refused. Classes such as `[:alpha:]` have the
//! characters of ASCII.

use regex::Regex;
use std::iter::Peekable;
use std::str::Chars;

/// A regular expression that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the regular expression {pattern:?} {problem}")]
pub struct PatternError {
    /// The expression.
    pub pattern: String,
    /// The problem, and a remedy.
    pub problem: String,
}

/// Largest number of an interval: `RE_DUP_MAX` of POSIX.
const MOST_REPEATED: u32 = 255;

/// Compiles an expression.
///
/// # Errors
/// [`PatternError`].
pub(super) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    let error = |problem: String| PatternError {
        pattern: pattern.to_owned(),
        problem,
    };
    let mut parser = Parser {
        rest: pattern.chars().peekable(),
        depth: 0,
    };
    let translated = parser.alternatives().map_err(error)?;
    Regex::new(&translated).map_err(|found| error(format!("is too large or not valid: {found}")))
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    depth: usize,
}

/// Groups within groups that are accepted: the parser calls itself for each.
const DEEPEST: usize = 50;

impl Parser<'_> {
    fn alternatives(&mut self) -> Result<String, String> {
        let mut out = String::new();
        loop {
            match self.rest.peek() {
                None => return Ok(out),
                Some(')') if self.depth > 0 => return Ok(out),
                Some(')') => {
                    return Err("has a ) without a (; write [)] for the character".to_owned());
                }
                Some('|') => {
                    self.rest.next();
                    out.push('|');
                }
                Some(_) => out += &self.repeated()?,
            }
        }
    }

    /// One atom with its repetitions.
    fn repeated(&mut self) -> Result<String, String> {
        let is_anchor = matches!(self.rest.peek(), Some('^' | '$'));
        let mut atom = self.atom()?;
        if is_anchor && matches!(self.rest.peek(), Some('*' | '+' | '?' | '{')) {
            return Err(format!(
                "repeats {atom}, which programs understand differently; leave the repetition out"
            ));
        }
        loop {
            let times = match self.rest.peek() {
                Some(sign @ ('*' | '+' | '?')) => sign.to_string(),
                Some('{') => {
                    self.rest.next();
                    let times = self.interval()?;
                    atom = format!("(?:{atom}){times}");
                    continue;
                }
                _ => return Ok(atom),
            };
            self.rest.next();
            atom = format!("(?:{atom}){times}");
        }
    }

    fn atom(&mut self) -> Result<String, String> {
        match self.rest.next() {
            Some('.') => Ok("(?s:.)".to_owned()),
            Some('^') => Ok("^".to_owned()),
            Some('$') => Ok("$".to_owned()),
            Some('[') => self.bracket(),
            Some('(') => {
                if self.depth == DEEPEST {
                    return Err(format!("has more than {DEEPEST} groups within each other"));
                }
                self.depth += 1;
                let inner = self.alternatives()?;
                self.depth -= 1;
                match self.rest.next() {
                    Some(')') => Ok(format!("(?:{inner})")),
                    _ => Err("has a ( without a ); write [(] for the character".to_owned()),
                }
            }
            Some(sign @ ('*' | '+' | '?' | '{')) => Err(format!(
                "has nothing before {sign} that could be repeated; write [{sign}] for the character"
            )),
            Some('\\') => self.escaped(),
            Some(character) => Ok(literal(character)),
            None => Err("ends too early".to_owned()),
        }
    }

    fn escaped(&mut self) -> Result<String, String> {
        match self.rest.next() {
            Some(character) if character.is_ascii_punctuation() && !"<>`'".contains(character) => {
                Ok(literal(character))
            }
            Some(character) => Err(format!(
                "has \\{character}, which programs understand differently; write a class such as [0-9] or [[:space:]], or \
                 the character without \\"
            )),
            None => Err("ends with \\; write \\\\ for the character".to_owned()),
        }
    }

    /// The rest of `{m}`, `{m,}` or `{m,n}`.
    fn interval(&mut self) -> Result<String, String> {
        let wrong = || {
            format!(
                "has a {{ that doesn't begin {{m}}, {{m,}} or {{m,n}} with numbers up to {MOST_REPEATED}; write [{{] for the \
                 character. (A comma separates expressions, so {{m,n}} can't be given in a list.)"
            )
        };
        let least = self
            .number()
            .filter(|n| *n <= MOST_REPEATED)
            .ok_or_else(wrong)?;
        match self.rest.next() {
            Some('}') => Ok(format!("{{{least}}}")),
            Some(',') => {
                let most = self.number();
                if self.rest.next() != Some('}') {
                    return Err(wrong());
                }
                match most {
                    None => Ok(format!("{{{least},}}")),
                    Some(most) if most <= MOST_REPEATED && least <= most => {
                        Ok(format!("{{{least},{most}}}"))
                    }
                    Some(_) => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }

    fn number(&mut self) -> Option<u32> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().ok()
    }

    /// A bracket expression after its `[`. A backslash in it is a character like others.
    fn bracket(&mut self) -> Result<String, String> {
        let mut out = "[".to_owned();
        if self.rest.next_if_eq(&'^').is_some() {
            out.push('^');
        }
        let mut first = true;
        loop {
            let item = match self.rest.next() {
                None => return Err("has a [ without a ]; write [[] for the character".to_owned()),
                Some(']') if !first => return Ok(out + "]"),
                Some('[') if matches!(self.rest.peek(), Some(':' | '.' | '=')) => {
                    out += &self.class()?;
                    first = false;
                    continue;
                }
                Some(item) => item,
            };
            first = false;
            out += &in_class(item);
            // A hyphen before the closing bracket is a character.
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']') {
                self.rest.next();
                let end = match self.rest.next() {
                    Some('[') if matches!(self.rest.peek(), Some(':' | '.' | '=')) => {
                        return Err("has a range that ends with a class".to_owned());
                    }
                    Some(end) if end >= item => end,
                    _ => return Err(format!("has a range from {item} that ends before it")),
                };
                out += &format!("-{}", in_class(end));
            }
        }
    }

    /// A class such as `[:digit:]` after its first bracket.
    fn class(&mut self) -> Result<String, String> {
        const CLASSES: [&str; 12] = [
            "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "xdigit",
        ];
        let sign = self.rest.next().unwrap_or_default();
        let mut name = String::new();
        while let Some(character) = self.rest.next_if(|next| next.is_alphanumeric()) {
            name.push(character);
        }
        let closed = self.rest.next() == Some(sign) && self.rest.next() == Some(']');
        if sign == ':' && closed && CLASSES.contains(&name.as_str()) {
            return Ok(format!("[:{name}:]"));
        }
        Err(format!(
            "has [{sign}{name} in a bracket expression; expected a class such as [:digit:]"
        ))
    }
}

fn literal(character: char) -> String {
    regex::escape(character.encode_utf8(&mut [0; 4]))
}

/// Writes a character in a class so that none has a meaning.
fn in_class(character: char) -> String {
    format!("\\x{{{:x}}}", u32::from(character))
}
