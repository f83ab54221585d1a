//! A customer: places a handful of orders at the shop.

use crate::http::{Answer, Client, field};
use std::io::{self, Write};

/// Connections that [`buy`] makes.
#[cfg(test)]
const CONNECTIONS: usize = 4;

/// Places orders and says what became of each: two on a connection that is kept, the others on new ones, one for
/// something that does not exist.
///
/// # Errors
/// When the shop cannot be reached or `out` not written.
pub fn buy(out: &mut impl Write, shop: &str) -> io::Result<()> {
    let mut kept = Client::connect(shop)?;
    for (item, quantity) in [("apple", 2), ("pear", 1)] {
        let answer = order(&mut kept, item, quantity)?;
        say(out, item, quantity, &answer)?;
    }
    for (item, quantity) in [("durian", 1), ("unicorn", 1), ("pear", 5)] {
        let answer = order(&mut Client::connect(shop)?, item, quantity)?;
        say(out, item, quantity, &answer)?;
    }
    Ok(())
}

fn order(shop: &mut Client, item: &str, quantity: u32) -> io::Result<Answer> {
    shop.call("POST", "/orders", &format!("{{\"item\":\"{item}\",\"quantity\":{quantity}}}"))
}

fn say(out: &mut impl Write, item: &str, quantity: u32, (status, body): &Answer) -> io::Result<()> {
    if *status != 201 {
        let error = field(body, "error").unwrap_or("no reason given");
        return writeln!(out, "{quantity} {item}: {status}, {error}");
    }
    write!(out, "{quantity} {item}: reserved, {} left", field(body, "left").unwrap_or("some"))?;
    match field(body, "delivery") {
        Some(delivery) => writeln!(out, "; {delivery}"),
        None => writeln!(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;
    use crate::shop::tests::{closed, shop, start};

    #[test]
    fn a_handful_of_orders() {
        let inventory = start(|listener| inventory::serve(&listener));
        let shop = shop(inventory, Some(CONNECTIONS));
        let mut out = Vec::new();
        buy(&mut out, &shop).unwrap();
        let said = String::from_utf8(out).unwrap();
        assert!(
            include_str!("../../../README.md").contains(&said),
            "the README shows something else than {said}"
        );
        assert_eq!(
            said,
            "2 apple: reserved, 5 left\n1 pear: reserved, 2 left\n\
             1 durian: reserved, 0 left; no courier to be had\n\
             1 unicorn: 404, nobody has heard of unicorn\n5 pear: 409, only 2 of pear left\n"
        );
        // These were all the connections that the shop had time for: it has closed.
        assert!((0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Client::connect(&shop).is_err()
        }));
    }

    #[test]
    fn a_missing_shop_is_an_error() {
        assert!(buy(&mut Vec::new(), &closed()).is_err());
    }
}
