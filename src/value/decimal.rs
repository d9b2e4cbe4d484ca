//! Exact decimal numbers with MySQL's limits: 65 digits, of them at most 30 behind the point.
//!
//! What combining results of several shards needs: sums, comparison, and the division of `AVG`.
//! <https://dev.mysql.com/doc/refman/9.0/en/precision-math-decimal-characteristics.html>

use std::cmp::Ordering;

/// Most digits of a decimal.
pub const DIGITS_MAX: usize = 65;

/// Most digits behind the point.
pub const SCALE_MAX: u8 = 30;

/// Digits that `AVG` and `/` add behind the point (`@@div_precision_increment`).
pub const DIV_PRECISION_INCREMENT: u8 = 4;

const BASE: u32 = 1_000_000_000;
const LIMB_DIGITS: usize = 9;
const INTEGER_LIMBS: usize = 8;
const FRACTION_LIMBS: usize = 4;
const LIMBS: usize = INTEGER_LIMBS + FRACTION_LIMBS;
const FRACTION_DIGITS: usize = FRACTION_LIMBS * LIMB_DIGITS;
const INTEGER_DIGITS: usize = INTEGER_LIMBS * LIMB_DIGITS;

/// A decimal number: a fixed-point number wide enough for every MySQL decimal, and its scale.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    /// Most significant first; nine digits each; the point stands behind `INTEGER_LIMBS`.
    limbs: [u32; LIMBS],
    is_negative: bool,
    /// Digits behind the point.
    scale: u8,
}

impl Decimal {
    /// Zero without digits behind the point.
    pub const ZERO: Self = Self { limbs: [0; LIMBS], is_negative: false, scale: 0 };

    /// Reads `[-+]digits[.digits]`; digits behind the 30th are rounded away. `None` for anything else and for
    /// numbers with more than 65 digits before the point.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (is_negative, digits) = match text.first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let point = digits.iter().position(|byte| *byte == b'.');
        let (integer, fraction) = match point {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &digits[..0]),
        };
        if integer.is_empty() && fraction.is_empty() {
            return None;
        }
        let significant =
            integer.iter().position(|byte| *byte != b'0').map_or(&integer[..0], |at| &integer[at..]);
        if significant.len() > DIGITS_MAX || !digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        {
            return None;
        }
        if fraction.contains(&b'.') {
            return None;
        }
        let mut number = Self::ZERO;
        number.is_negative = is_negative;
        for (index, digit) in significant.iter().rev().enumerate() {
            number.limbs[INTEGER_LIMBS - 1 - index / LIMB_DIGITS] +=
                power(index % LIMB_DIGITS) * digit_value(*digit);
        }
        for (index, digit) in fraction.iter().take(FRACTION_DIGITS).enumerate() {
            let place = LIMB_DIGITS - 1 - index % LIMB_DIGITS;
            number.limbs[INTEGER_LIMBS + index / LIMB_DIGITS] += power(place) * digit_value(*digit);
        }
        number.scale = u8::try_from(fraction.len().min(FRACTION_DIGITS)).unwrap_or(SCALE_MAX);
        Some(if number.scale > SCALE_MAX { number.round(SCALE_MAX) } else { number })
    }

    /// Digits behind the point.
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// The sum; its scale is the larger one.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        if self.is_negative == other.is_negative {
            return Self {
                limbs: add_limbs(&self.limbs, &other.limbs),
                is_negative: self.is_negative,
                scale,
            };
        }
        match self.limbs.cmp(&other.limbs) {
            Ordering::Equal => Self { scale, ..Self::ZERO },
            Ordering::Greater => Self {
                limbs: subtract_limbs(&self.limbs, &other.limbs),
                is_negative: self.is_negative,
                scale,
            },
            Ordering::Less => Self {
                limbs: subtract_limbs(&other.limbs, &self.limbs),
                is_negative: other.is_negative,
                scale,
            },
        }
    }

    /// The number so many times; its scale stays. `None`: more digits than there is room for.
    pub fn times(&self, count: u64) -> Option<Self> {
        let mut product = *self;
        let mut carry = 0_u128;
        for limb in product.limbs.iter_mut().rev() {
            let current = u128::from(*limb) * u128::from(count) + carry;
            *limb = u32::try_from(current % u128::from(BASE)).expect("a rest is below its divisor");
            carry = current / u128::from(BASE);
        }
        (carry == 0).then_some(product)
    }

    /// The number divided by a count, as `AVG` does: `increment` more digits behind the point, rounded half
    /// away from zero. `None` for a count of zero, which is `NULL` in SQL.
    pub fn divide(&self, count: u64, increment: u8) -> Option<Self> {
        let quotient = self.quotient(count, increment)?;
        Some(quotient.round(self.scale.saturating_add(increment).min(SCALE_MAX)))
    }

    /// The same before it is rounded, as servers compare it and compute with it.
    pub fn quotient(&self, count: u64, increment: u8) -> Option<Self> {
        if count == 0 {
            return None;
        }
        let mut quotient = *self;
        let mut rest = 0_u128;
        for limb in &mut quotient.limbs {
            let current = rest * u128::from(BASE) + u128::from(*limb);
            *limb = u32::try_from(current / u128::from(count)).expect("the rest is below the divisor");
            rest = current % u128::from(count);
        }
        // Servers compute whole groups of nine digits and cut off the rest before they round.
        let groups = |digits: u8| usize::from(digits).div_ceil(LIMB_DIGITS);
        let missing =
            usize::from(increment).saturating_sub(groups(self.scale) * LIMB_DIGITS - usize::from(self.scale));
        let kept = groups(self.scale) + missing.div_ceil(LIMB_DIGITS);
        quotient.limbs.iter_mut().skip(INTEGER_LIMBS + kept).for_each(|limb| *limb = 0);
        quotient.scale = u8::try_from(kept * LIMB_DIGITS).unwrap_or(SCALE_MAX).min(SCALE_MAX);
        Some(quotient)
    }

    /// Rounded half away from zero to `scale` digits behind the point.
    #[must_use]
    pub fn round(&self, scale: u8) -> Self {
        let scale = scale.min(SCALE_MAX);
        let kept = usize::from(scale);
        let mut number = *self;
        number.scale = scale;
        let next = self.fraction_digit(kept);
        for index in kept..FRACTION_DIGITS {
            let place = power(LIMB_DIGITS - 1 - index % LIMB_DIGITS);
            let limb = &mut number.limbs[INTEGER_LIMBS + index / LIMB_DIGITS];
            *limb -= (*limb / place) % 10 * place;
        }
        if next >= 5 {
            let mut unit = [0; LIMBS];
            match kept.checked_sub(1) {
                Some(last) => {
                    unit[INTEGER_LIMBS + last / LIMB_DIGITS] = power(LIMB_DIGITS - 1 - last % LIMB_DIGITS);
                }
                None => unit[INTEGER_LIMBS - 1] = 1,
            }
            number.limbs = add_limbs(&number.limbs, &unit);
        }
        number
    }

    /// Appends MySQL's text: no leading zeros but one before the point, exactly `scale` digits behind it, no
    /// negative zero. A number over 65 digits becomes 65 nines, as on a server.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        let scale = usize::from(self.scale);
        if self.is_negative && !self.is_zero_at_scale() {
            out.push(b'-');
        }
        let mut digits = [0_u8; INTEGER_DIGITS];
        for (index, digit) in digits.iter_mut().enumerate() {
            let limb = self.limbs[index / LIMB_DIGITS];
            *digit = b'0' + small(limb / power(LIMB_DIGITS - 1 - index % LIMB_DIGITS) % 10);
        }
        let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(INTEGER_DIGITS - 1);
        let overflows = INTEGER_DIGITS - start > DIGITS_MAX - scale;
        if overflows {
            out.extend(std::iter::repeat_n(b'9', DIGITS_MAX - scale));
        } else {
            out.extend_from_slice(&digits[start..]);
        }
        if scale > 0 {
            out.push(b'.');
            out.extend(
                (0..scale).map(|index| if overflows { b'9' } else { b'0' + self.fraction_digit(index) }),
            );
        }
    }

    /// The text of [`Decimal::write_text`].
    pub fn to_text(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        self.write_text(&mut out);
        out
    }

    fn is_zero_at_scale(&self) -> bool {
        self.limbs[..INTEGER_LIMBS].iter().all(|limb| *limb == 0)
            && (0..usize::from(self.scale)).all(|index| self.fraction_digit(index) == 0)
    }

    fn fraction_digit(&self, index: usize) -> u8 {
        let Some(limb) = self.limbs.get(INTEGER_LIMBS + index / LIMB_DIGITS) else { return 0 };
        small(limb / power(LIMB_DIGITS - 1 - index % LIMB_DIGITS) % 10)
    }

    fn is_zero(&self) -> bool {
        self.limbs.iter().all(|limb| *limb == 0)
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self { is_negative: number < 0, ..Self::from(number.unsigned_abs()) }
    }
}

impl From<u64> for Decimal {
    fn from(mut number: u64) -> Self {
        let mut decimal = Self::ZERO;
        for limb in decimal.limbs[..INTEGER_LIMBS].iter_mut().rev().take(3) {
            *limb = u32::try_from(number % u64::from(BASE)).expect("a remainder of the base fits a limb");
            number /= u64::from(BASE);
        }
        decimal
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| number.is_negative && !number.is_zero();
        match (sign(self), sign(other)) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.limbs.cmp(&other.limbs),
            (true, true) => other.limbs.cmp(&self.limbs),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

fn power(exponent: usize) -> u32 {
    const POWERS: [u32; LIMB_DIGITS] =
        [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    POWERS[exponent]
}

fn digit_value(digit: u8) -> u32 {
    u32::from(digit - b'0')
}

fn small(digit: u32) -> u8 {
    u8::try_from(digit).expect("a remainder of ten is one digit")
}

/// A carry out of the first limb is lost; `write_text` shows nines long before that can happen.
fn add_limbs(left: &[u32; LIMBS], right: &[u32; LIMBS]) -> [u32; LIMBS] {
    let mut sum = [0; LIMBS];
    let mut carry = 0;
    for index in (0..LIMBS).rev() {
        let digit = left[index] + right[index] + carry;
        carry = u32::from(digit >= BASE);
        sum[index] = digit - carry * BASE;
    }
    if carry == 0 { sum } else { [BASE - 1; LIMBS] }
}

/// `left` is at least `right`.
fn subtract_limbs(left: &[u32; LIMBS], right: &[u32; LIMBS]) -> [u32; LIMBS] {
    let mut difference = [0; LIMBS];
    let mut borrow = 0;
    for index in (0..LIMBS).rev() {
        let taken = right[index] + borrow;
        borrow = u32::from(left[index] < taken);
        difference[index] = left[index] + borrow * BASE - taken;
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    fn text(number: Decimal) -> String {
        String::from_utf8(number.to_text()).unwrap()
    }

    #[test]
    fn text_forms() {
        let check = |input: &str, expected: &str| assert_eq!(text(decimal(input)), expected);
        check("0", "0");
        check("-0.00", "0.00");
        check("+1.50", "1.50");
        check("000123.4", "123.4");
        check(".5", "0.5");
        check("5.", "5");
        check(
            "123456789012345678901234567890.123456789012345678901234567890",
            "123456789012345678901234567890.123456789012345678901234567890",
        );
        check("0.1234567890123456789012345678905", "0.123456789012345678901234567891");
        for bad in ["", "-", ".", "1e5", "1.2.3", "a", "1 "] {
            assert!(Decimal::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn sums_keep_the_larger_scale() {
        let check =
            |left, right, expected: &str| assert_eq!(text(decimal(left).add(&decimal(right))), expected);
        check("1.10", "2.345", "3.445");
        check("1", "-1.00", "0.00");
        check("-5", "3", "-2");
        check("999999999.9", "0.1", "1000000000.0");
        check("-0.5", "0.25", "-0.25");
        let nines = "9".repeat(65);
        check(&nines, "1", &nines);
    }

    #[test]
    fn averages_round_half_away_from_zero() {
        let check = |sum, count, expected: &str| {
            assert_eq!(text(decimal(sum).divide(count, DIV_PRECISION_INCREMENT).unwrap()), expected);
        };
        check("10", 3, "3.3333");
        check("20", 3, "6.6667");
        check("-20", 3, "-6.6667");
        check("1.00", 8, "0.125000");
        check("1", 32, "0.0313");
        check("0", 5, "0.0000");
        check("2.00000", 3, "0.666666666");
        check("2.000000", 3, "0.6666666667");
        check("1", u64::MAX, "0.0000");
        assert!(decimal("1").divide(0, 4).is_none());
    }

    #[test]
    fn comparison_is_numeric() {
        assert!(decimal("-1.5") < decimal("-1.4"));
        assert!(decimal("10") > decimal("9.999"));
        assert_eq!(decimal("1.0"), decimal("1"));
        assert_eq!(decimal("-0"), decimal("0"));
    }

    proptest! {
        #[test]
        fn agrees_with_integers(left: i64, right: i64, scale in 0_u32..4) {
            let form = |number: i64| {
                let unit = 10_i128.pow(scale);
                let number = i128::from(number);
                let sign = if number < 0 { "-" } else { "" };
                let width = scale as usize;
                let fraction = (number.abs() % unit).to_string();
                if scale == 0 { number.to_string() } else { format!("{sign}{}.{fraction:0>width$}", number.abs() / unit) }
            };
            let (a, b) = (decimal(&form(left)), decimal(&form(right)));
            prop_assert_eq!(a.cmp(&b), left.cmp(&right));
            if let Some(sum) = left.checked_add(right) {
                prop_assert_eq!(text(a.add(&b)), form(sum));
            }
            prop_assert_eq!(Decimal::from(left), decimal(&left.to_string()));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..90), count: u64) {
            if let Some(number) = Decimal::parse(&bytes) {
                prop_assert!(number.to_text().len() <= 68);
                prop_assert_eq!(number.divide(count, 4).is_none(), count == 0);
            }
        }
    }
}
