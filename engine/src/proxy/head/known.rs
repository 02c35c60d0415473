//! The field names the gateway itself reads or writes, found without comparing
//! strings more than once.
//!
//! [`Known`] is one list. Its lookup table is built by the compiler from that
//! list, so a name is added by adding its line.

macro_rules! known {
    ($($variant:ident = $text:literal,)+) => {
        /// A well-known field name. A [`Head`](super::Head) finds the first field of each in O(1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)] // each is the name it spells
        pub enum Known {
            $($variant,)+
        }

        impl Known {
            /// Every well-known name, in declaration order.
            pub const ALL: &[Known] = &[$(Known::$variant,)+];

            /// The name as the gateway spells it when it writes the field itself.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Known::$variant => $text,)+
                }
            }
        }
    };
}

known! {
    // Where a message ends and what becomes of its connection: see `Known::is_framing`.
    Connection = "Connection",
    ContentLength = "Content-Length",
    TransferEncoding = "Transfer-Encoding",
    Upgrade = "Upgrade",
    Te = "TE",
    Expect = "Expect",
    KeepAlive = "Keep-Alive",
    ProxyConnection = "Proxy-Connection",
    Trailer = "Trailer",
    // Who is asked, and by whom.
    Host = "Host",
    Via = "Via",
    Forwarded = "Forwarded",
    XForwardedFor = "X-Forwarded-For",
    XForwardedProto = "X-Forwarded-Proto",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedPort = "X-Forwarded-Port",
    XForwardedPath = "X-Forwarded-Path",
    XForwardedPrefix = "X-Forwarded-Prefix",
    XRealIp = "X-Real-IP",
    Proxy = "Proxy",
    UserAgent = "User-Agent",
    Referer = "Referer",
    Origin = "Origin",
    // Who says they are whom.
    Authorization = "Authorization",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyAuthenticate = "Proxy-Authenticate",
    WwwAuthenticate = "WWW-Authenticate",
    Cookie = "Cookie",
    SetCookie = "Set-Cookie",
    ApiKey = "apikey",
    // What is carried.
    Accept = "Accept",
    AcceptEncoding = "Accept-Encoding",
    ContentType = "Content-Type",
    ContentEncoding = "Content-Encoding",
    CacheControl = "Cache-Control",
    Date = "Date",
    Location = "Location",
    Server = "Server",
    Vary = "Vary",
    RetryAfter = "Retry-After",
    SecWebSocketKey = "Sec-WebSocket-Key",
    // The gateway's own.
    XKongRequestId = "X-Kong-Request-Id",
    XKongProxyLatency = "X-Kong-Proxy-Latency",
    XKongUpstreamLatency = "X-Kong-Upstream-Latency",
    XKongResponseLatency = "X-Kong-Response-Latency",
    XKongUpstreamStatus = "X-Kong-Upstream-Status",
    KongDebug = "Kong-Debug",
}

impl Known {
    /// How many there are.
    pub const COUNT: usize = Known::ALL.len();

    /// The well-known name that `name` spells, in whatever case.
    #[inline]
    pub fn of(name: &[u8]) -> Option<Known> {
        let mut slot = slot(name);
        loop {
            let known = *Known::ALL.get(usize::from(*TABLE.get(slot)?))?;
            // Most programs write a name as we do, and HTTP/2 has them in lower case.
            let usual = known.as_str().as_bytes();
            if usual == name || known.lower() == name || usual.eq_ignore_ascii_case(name) {
                return Some(known);
            }
            slot = (slot + 1) % TABLE.len();
        }
    }

    fn lower(self) -> &'static [u8] {
        let lower = LOWER.get(self as usize).map_or(&[][..], <[u8; LONGEST]>::as_slice);
        lower.get(..self.as_str().len()).unwrap_or_default()
    }

    /// Whether the field says where a message ends or how its connection goes
    /// on. Those are decided once, by [`hygiene`](crate::proxy::hygiene), and
    /// written by the lane from that decision, never copied.
    pub const fn is_framing(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::ContentLength
                | Known::TransferEncoding
                | Known::Upgrade
                | Known::Te
                | Known::Expect
                | Known::KeepAlive
                | Known::ProxyConnection
        )
    }
}

/// No name hashes here: what `Known::of` stops at.
const VACANT: u8 = u8::MAX;

/// Open addressing, at most a quarter full, so a name that is not known mostly
/// meets a vacant slot at once.
static TABLE: [u8; 256] = build();

const fn build() -> [u8; 256] {
    const { assert!(Known::COUNT <= 64, "the table is meant to stay sparse") };
    let mut table = [VACANT; 256];
    let mut index = 0;
    while index < Known::COUNT {
        let mut at = slot(Known::ALL[index].as_str().as_bytes());
        while table[at] != VACANT {
            at = (at + 1) % table.len();
        }
        table[at] = index as u8;
        index += 1;
    }
    table
}

/// Room for the longest name.
const LONGEST: usize = 24;

/// Every name in lower case, filled up.
static LOWER: [[u8; LONGEST]; Known::COUNT] = lowered();

const fn lowered() -> [[u8; LONGEST]; Known::COUNT] {
    let mut names = [[0; LONGEST]; Known::COUNT];
    let mut index = 0;
    while index < Known::COUNT {
        let name = Known::ALL[index].as_str().as_bytes();
        let mut at = 0;
        while at < name.len() {
            names[index][at] = name[at].to_ascii_lowercase();
            at += 1;
        }
        index += 1;
    }
    names
}

/// Length and three letters tell these names apart well enough.
const fn slot(name: &[u8]) -> usize {
    let len = name.len();
    if len == 0 {
        return 0;
    }
    let first = (name[0] | 0x20) as usize;
    let middle = (name[len / 2] | 0x20) as usize;
    let last = (name[len - 1] | 0x20) as usize;
    (len * 61 + first * 7 + middle * 31 + last * 13) % 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &known in Known::ALL {
            let name = known.as_str();
            assert_eq!(Known::of(name.as_bytes()), Some(known), "{name}");
            assert_eq!(Known::of(name.to_lowercase().as_bytes()), Some(known), "{name}");
            assert_eq!(Known::of(name.to_uppercase().as_bytes()), Some(known), "{name}");
        }
    }

    #[test]
    fn other_names_are_not_known() {
        for name in ["", "x", "hos", "hostt", "host_", "x-custom", "content_length"] {
            assert_eq!(Known::of(name.as_bytes()), None, "{name}");
        }
    }
}
