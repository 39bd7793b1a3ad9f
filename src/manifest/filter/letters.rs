//! Names of tables in the names of their files: MySQL's filename encoding.
//!
//! Digits, ASCII letters and `_` are themselves; `@` and four hexadecimal digits are a character by its number; `@` and
//! two other characters are a letter of `letters.txt`. (The table was read from a server of MySQL 9.7.4: tables with all
//! letters of these blocks in their names, and the names of their files.)

use std::collections::HashMap;
use std::sync::LazyLock;

/// Lines with the first character of a code, a blank, and pairs of its second character and the letter.
const LETTERS: &str = include_str!("letters.txt");

/// The suffix of the names that Windows reserves, such as `aux@@@`.
const RESERVED: &str = "@@@";

static BY_CODE: LazyLock<HashMap<[char; 2], char>> = LazyLock::new(|| {
    let mut letters = HashMap::new();
    for line in LETTERS.lines() {
        let mut line = line.chars();
        let (Some(first), Some(_)) = (line.next(), line.next()) else {
            continue;
        };
        while let (Some(second), Some(letter)) = (line.next(), line.next()) {
            letters.insert([first, second], letter);
        }
    }
    letters
});

/// Returns the name as a person writes it. What is not in the encoding stays as it is.
pub(crate) fn decoded(name: &str) -> String {
    let name = name.strip_suffix(RESERVED).unwrap_or(name);
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        match letter(after) {
            Some((letter, length)) => {
                out.push(letter);
                rest = &after[length..];
            }
            None => {
                out.push('@');
                rest = after;
            }
        }
    }
    out + rest
}

/// Returns the character of a code without its `@`, and the length of the code in bytes.
fn letter(code: &str) -> Option<(char, usize)> {
    let mut characters = code.chars();
    let pair = [characters.next()?, characters.next()?];
    if let Some(letter) = BY_CODE.get(&pair) {
        return Some((*letter, pair.iter().map(|c| c.len_utf8()).sum()));
    }
    let digits = code.get(..4)?;
    let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u32::from_str_radix(digits, 16)
        .ok()
        .filter(|_| hexadecimal)?;
    Some((char::from_u32(number)?, digits.len()))
}
