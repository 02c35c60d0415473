//! The table itself, grouped as an operator would look for things.
//!
//! A line per property: name, kind, default, standing (hidden in the constructor's name), meaning, and what
//! more there is to say. Names and defaults are Kong 3.10's unless the meaning says that they are ours.
//! docs/properties.md is made from here: its test says how.

use super::Kind::{
    Choice, Flag, List, Listen, Log, Number, Path, Pem, PemKey, Secret, Size, Text, Time, Whole,
};
use super::Standing::{Inert, Refused};
use super::line::{effective, inert, mapped, only, refused};
use super::{Family, Group};

/// Which roles read a property.
const ALL: &[&str] = &["traditional", "control_plane", "data_plane"];
const PROXY: &[&str] = &["traditional", "data_plane"];
const ADMIN: &[&str] = &["traditional", "control_plane"];
const HYBRID: &[&str] = &["control_plane", "data_plane"];
const CP: &[&str] = &["control_plane"];
const DP: &[&str] = &["data_plane"];

const NO_DEBUG_LISTENER: &str = "there is no debug listener";
const REVOCATION: &str = "revocation of clients' certificates is not checked in this version: have the authority \
                          issue for short times, or use admin_api_tokens_file";
const NO_NGINX: &str = "there is no nginx underneath";
const NO_LUA: &str = "there is no Lua inside";
const NO_MANAGER: &str = "the web interface is not part of this version";
const FEW_CONNECT: &str = "reads come from memory; one connection writes, and whatever waits shares its transactions; one \
                           listens, one reads what was changed, one asks whether the server is there";
const ONE_AT_A_TIME: &str = "one connection reads what was changed, one request after the other";
const ELLIPTIC: &str = "keys are agreed on with elliptic curves only";
const NO_SESSIONS: &str = "tickets last as long as the library lets them";
const ONE_CONTEXT: &str =
    "all listeners that speak TLS take what ssl_cipher_suite says, and the properties beside it";
const NO_PLUGINS: &str = "plugins run within this process only";
const NO_VAULTS: &str =
    "environment variables are the only vault, and vault_env_prefix all there is to set";
const NO_WASM: &str = "WebAssembly filters are not supported; set wasm = off";
const NO_TRACING: &str = "tracing is not part of this version";
const NO_TELEMETRY: &str = "the telemetry link is not part of this version";
const NO_PKI: &str = "cluster_mtls = shared, which compares whole certificates, does not read it";
const DNS: &str = "names are resolved as /etc/resolv.conf and /etc/hosts say";
const PUSHED: &str = "every change is pushed as it is committed, and all workers change together";
const IN_MEMORY: &str =
    "the whole configuration is in memory, so nothing is cached, shared or polled for";
const OWN_LINK: &str = "the link carries changes only, in chunks, from the first version on";
const OPEN_DOOR: &str = "it decides who may enter, and would not be enforced; use a firewall, or bind the listener to an \
                         address that only those can reach";
const ENTERPRISE: &str =
    "it protects something in Kong's enterprise edition, and would not be enforced here; remove it";

/// Every property, by what it is about.
#[rustfmt::skip] // a line each, and one for what more there is to say
pub static GROUPS: &[Group] = &[
    Group {
        title: "The process",
        about: "What a node is, where it lives, and how it runs.",
        properties: &[
            effective("prefix", Path, "/var/lib/gateway", ALL, "Directory for the database, the cache, keys, logs and pid files.")
                .more("One node each. It is made if it is not there; `-p` and `--prefix` of the commands go before it. Kong's is /usr/local/kong."),
            effective("role", Choice(&["traditional", "control_plane", "data_plane"]), "traditional", ALL, "What this node is: `control_plane` owns the configuration, `data_plane` serves traffic, `traditional` is both in one process.")
                .more("A control plane needs admin_listen and cluster_listen, a data plane proxy_listen and cluster_control_plane, and both cluster_cert and cluster_cert_key."),
            effective("log_level", Choice(&["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"]), "notice", ALL, "The least severe lines that are logged.")
                .more("A reload takes it up."),
            effective("nginx_daemon", Flag, "", ALL, "Whether `start` leaves the terminal; unset, only when called by the name `kong`.")
                .more("`--daemon` of `start` and `restart` goes before it."),
            mapped("nginx_main_daemon", Flag, "", "nginx_daemon"),
            inert("node_id", Text, "", "Identity of this node.", "a node's id is derived from the key in `node.key` under the prefix, so that no other node can take it"),
            inert("nginx_user", Text, "kong kong", "User and group of the workers.", "the process stays the user that started it; say `User=` in the unit"),
            inert("nginx_main_user", Text, "kong kong", "User and group of the workers.", "the process stays the user that started it; say `User=` in the unit"),
            inert("anonymous_reports", Flag, "off", "Whether to tell the vendor about this installation.", "nothing is ever reported to anyone"),
            inert("kic", Flag, "off", "Whether an ingress controller drives this node.", "a node behaves the same whoever drives it"),
        ],
    },
    Group {
        title: "Vaults",
        about: "A value may be a reference to a secret that is kept elsewhere: `{vault://env/db-password}` is what the environment variable `DB_PASSWORD` says. See [vaults](#vaults-in-values).",
        properties: &[
            effective("vaults", List, "bundled", ALL, "Vaults that may be used: `bundled`, which is `env`, or `off`.")
                .more("With `off` a reference is an error."),
            effective("vault_env_prefix", Text, "", ALL, "What names of variables begin with that the vault `env` looks for.")
                .more("With `app-`, `{vault://env/secret}` is `APP_SECRET`. A reference may say otherwise: `{vault://env/secret?prefix=other-}`."),
        ],
    },
    Group {
        title: "Workers",
        about: "Threads that serve clients. Each is one core with its own listening sockets and its own connections.",
        properties: &[
            effective("workers", Text, "auto", PROXY, "Worker threads: a number from 1 to 1024, or `auto` for the CPUs and the quota this process has.")
                .more("nginx_worker_processes leads here. Each is pinned to a CPU."),
            effective("worker_cores", List, "", PROXY, "CPUs the workers are pinned to, such as `2-7,9`; unset, those the process may use (ours)."),
            effective("express_lane", Flag, "on", PROXY, "Whether requests by HTTP/1.1 to upstreams in cleartext take the express lane (ours).")
                .more("Everything else, and with `off` all of them, is carried by Pingora; answers are the same."),
            effective("io_backend", Choice(&["tokio", "io_uring"]), "tokio", PROXY, "How the express lane asks the kernel for the bytes of clients in cleartext and of their upstreams (ours).")
                .more("`io_uring` gives each worker a second thread on its CPU. Where the kernel's does not work, a line of the log says why, and `tokio` is used. `GET /status` shows which it is."),
            mapped("nginx_worker_processes", Text, "auto", "workers"),
            mapped("nginx_main_worker_processes", Text, "auto", "workers"),
            inert("nginx_main_worker_rlimit_nofile", Text, "auto", "Limit of open files.", "the limit of the process counts; say `LimitNOFILE=` in the unit"),
            effective("nginx_events_worker_connections", Text, "auto", PROXY, "Connections a worker may have with clients; `auto`, as many as there may be open files.")
                .more("Beyond it, clients wait to be accepted; nginx closes on them."),
            inert("nginx_events_multi_accept", Flag, "on", "Accept several connections at once.", NO_NGINX),
            inert("worker_consistency", Choice(&["eventual", "strict"]), "eventual", "When workers change to a new configuration.", PUSHED),
            inert("router_consistency", Choice(&["eventual", "strict"]), "", "When workers change to a new configuration.", PUSHED),
            inert("worker_state_update_frequency", Number, "5", "Seconds between looks for a new configuration.", PUSHED),
            inert("worker_events_max_payload", Whole, "65535", "Largest event between workers, bytes.", "workers do not send each other events"),
            inert("dedicated_config_processing", Flag, "on", "Whether a process of its own reads the configuration.", "threads of their own always do"),
            inert("privileged_worker", Flag, "", "Whether a process of its own reads the configuration.", "threads of their own always do"),
        ],
    },
    Group {
        title: "Listeners",
        about: "Where a node can be reached. Two listeners of a node must not share an address.",
        properties: &[
            effective("proxy_listen", Listen, "0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384", PROXY, "Where clients are served.")
                .more("Required of a data plane. Without `ssl`, `http2` means HTTP/2 without TLS."),
            effective("admin_listen", Listen, "127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384", ADMIN, "Where the Admin API is served.")
                .more("Whoever reaches it may change everything, unless admin_api_tokens_file or nginx_admin_ssl_verify_client says otherwise: leave it on loopback until one does. `proxy_protocol` is an error here. Required of a control plane."),
            effective("status_listen", Listen, "127.0.0.1:8007 reuseport backlog=16384", ALL, "Where health and status are served.")
                .more("`GET /status` and `GET /status/ready`, on every role. Control plane and data plane on one machine need an address each. `proxy_protocol` is an error."),
            effective("stream_listen", Listen, "off", PROXY, "Where streams of TCP and TLS and datagrams are served; docs/streams.md.")
                .more("`ssl` is for routes that open TLS or pass it on, `udp` for datagrams. TCP and UDP may share an address."),
            effective("stream_backend", Choice(&["auto", "epoll"]), "auto", PROXY, "What threads of streams wait with: `auto`, `io_uring` where it works and epoll elsewhere, or `epoll` (ours)."),
            effective("port_maps", List, "", PROXY, "`public:listening` pairs of ports, for forwarding headers behind a port mapping.")
                .more("Such as `80:8000, 443:8443`: what listens on 8443 tells upstreams 443 in X-Forwarded-Port."),
        ],
    },
    Group {
        title: "Securing the Admin API",
        about: "Who may use it, and how they know whom they talk to. A reload takes all of it up. See [security](security.md#the-admin-api).",
        properties: &[
            effective("admin_ssl_cert", Pem, "", ADMIN, "Certificates of the listeners of admin_listen with `ssl`: several, separated by commas, if their keys differ in type.")
                .more("Unset, a self-signed one for localhost is made, and kept under `ssl` in the prefix."),
            effective("admin_ssl_cert_key", PemKey, "", ADMIN, "Private keys of admin_ssl_cert.")
                .more("As many as there are certificates, in their order."),
            effective("nginx_admin_ssl_verify_client", Choice(&["off", "on", "optional"]), "off", ADMIN, "Whether clients of those listeners are asked for a certificate.")
                .more("With `on`, who has none is refused; with `optional`, who has one is known by its name. One that is not valid is refused. It is nginx's directive, whose `optional_no_ca` is an error. Listeners without `ssl` ask nobody."),
            effective("nginx_admin_ssl_client_certificate", Pem, "", ADMIN, "Authorities of clients' certificates.")
                .more("Required with nginx_admin_ssl_verify_client."),
            effective("nginx_admin_ssl_verify_depth", Whole, "1", ADMIN, "Intermediate certificates allowed between them and a client's.")
                .more("From 0 to 64."),
            effective("admin_api_tokens_file", Path, "", ADMIN, "A file of tokens, without one of which nobody may use the Admin API (ours).")
                .more("A line each: a name, `admin` or `read-only`, and `sha256:` with the digest of the token. `gateway admin token` makes them. Nobody but its owner, the process's user or root, may write to it."),
            effective("admin_auth", Choice(&["optional", "required"]), "optional", ADMIN, "Whether a node starts with a listener of admin_listen that asks nobody who they are (ours).")
                .more("With `optional`, one that is not on loopback is a warning at every start and in `GET /status`."),
        ],
    },
    Group {
        title: "The database",
        about: "Where the configuration of a node with an Admin API is kept, or what stands in its place.",
        properties: &[
            effective("database", Text, "", ALL, "Where the configuration is kept: `sqlite`, in `gateway.db` under the prefix; `postgres`, which several nodes may share; or `off`, in memory only.")
                .more("Unset, it is `postgres` if a pg_* property is set, and `sqlite` otherwise. PostgreSQL is bootstrapped and migrated by `gateway migrations` or `start --run-migrations`; SQLite does that by itself. A control plane cannot have `off`; a data plane has nothing else."),
            effective("revision_log_keep", Whole, "1000", ADMIN, "Revisions whose steps the database keeps (ours).")
                .more("1 or more. A data plane that was away for longer is sent the whole configuration rather than the steps."),
            effective("audit_keep_days", Whole, "90", ADMIN, "Days that who changed what is kept (ours).")
                .more("36500 or less."),
            effective("declarative_config", Path, "", PROXY, "A file with the whole configuration, where there is no database.")
                .more("A node without a database begins with it, and reads it again with a reload; `POST /config` replaces it until then. A data plane serves it until it has a cache or a control plane. Without effect where there is a database."),
            effective("declarative_config_string", Secret, "", PROXY, "The whole configuration as text, where there is no database.")
                .more("It stands in the place of declarative_config; to set both is an error."),
            effective("pg_host", Text, "127.0.0.1", ADMIN, "PostgreSQL: name or address of the server, or the directory of its Unix socket."),
            effective("pg_port", Whole, "5432", ADMIN, "PostgreSQL: port of the server."),
            effective("pg_user", Text, "kong", ADMIN, "PostgreSQL: user."),
            effective("pg_password", Secret, "", ADMIN, "PostgreSQL: password, where the server asks for one."),
            effective("pg_database", Text, "kong", ADMIN, "PostgreSQL: database.")
                .more("It must be encoded in UTF8, and not be one that Kong uses: tables of the same names are in both."),
            effective("pg_schema", Text, "", ADMIN, "PostgreSQL: schema; unset, the first of the server's `search_path`.")
                .more("`gateway migrations bootstrap` makes it."),
            effective("pg_timeout", Whole, "5000", ADMIN, "PostgreSQL: milliseconds until a connection is made, and until each answer.")
                .more("A node waits 30 seconds for others to write, whatever is said here."),
            effective("pg_ssl", Flag, "off", ADMIN, "PostgreSQL: whether to speak TLS.")
                .more("Then a server that does not is not spoken to."),
            effective("pg_ssl_verify", Flag, "off", ADMIN, "PostgreSQL: whether the server's certificate is checked, and whether it is for pg_host.")
                .more("Against lua_ssl_trusted_certificate. With SCRAM a password goes only to whoever has that certificate, checked or not."),
            inert("pg_max_concurrent_queries", Whole, "0", "Queries at once; 0 is no limit.", FEW_CONNECT),
            inert("pg_semaphore_timeout", Whole, "60000", "Wait for a free query slot, ms.", FEW_CONNECT),
            inert("pg_keepalive_timeout", Whole, "", "Idle time of a pooled connection, ms.", FEW_CONNECT),
            inert("pg_pool_size", Whole, "", "Pooled connections.", FEW_CONNECT),
            inert("pg_backlog", Whole, "", "Queries waiting for a connection.", FEW_CONNECT),
            effective("pg_ro_host", Text, "", ADMIN, "PostgreSQL: host of a replica that may be read; unset, there is none.")
                .more("Entities are read from memory. What is read there is the past (`GET /audit/…`), which may be a moment old; what the replica does not have, or while it is away, the server itself is asked for. What is not said of it by the properties below is as at the server."),
            effective("pg_ro_port", Whole, "", ADMIN, "PostgreSQL: port of the replica; unset, pg_port."),
            effective("pg_ro_user", Text, "", ADMIN, "PostgreSQL: user at the replica; unset, pg_user."),
            effective("pg_ro_password", Secret, "", ADMIN, "PostgreSQL: password at the replica; unset, pg_password."),
            effective("pg_ro_database", Text, "", ADMIN, "PostgreSQL: database at the replica; unset, pg_database."),
            effective("pg_ro_schema", Text, "", ADMIN, "PostgreSQL: schema at the replica; unset, pg_schema."),
            effective("pg_ro_timeout", Whole, "", ADMIN, "PostgreSQL: pg_timeout of the replica; unset, the same."),
            effective("pg_ro_ssl", Flag, "", ADMIN, "PostgreSQL: whether to speak TLS to the replica; unset, pg_ssl."),
            effective("pg_ro_ssl_verify", Flag, "", ADMIN, "PostgreSQL: whether the replica's certificate is checked; unset, pg_ssl_verify."),
            inert("pg_ro_max_concurrent_queries", Whole, "", "Queries at once at the replica.", ONE_AT_A_TIME),
            inert("pg_ro_semaphore_timeout", Whole, "", "Wait for a free query slot at the replica, ms.", ONE_AT_A_TIME),
            inert("pg_ro_keepalive_timeout", Whole, "", "Idle time of a pooled connection to the replica, ms.", ONE_AT_A_TIME),
            inert("pg_ro_pool_size", Whole, "", "Pooled connections to the replica.", ONE_AT_A_TIME),
            inert("pg_ro_backlog", Whole, "", "Queries waiting for the replica.", ONE_AT_A_TIME),
            inert("_debug_pg_ttl_cleanup_interval", Whole, "300", "Seconds between clean-ups of expired rows.", "what is old goes with the next commit"),
            effective("db_update_frequency", Number, "5", ADMIN, "Seconds between looks for changes by other nodes, should PostgreSQL's word of them not arrive.")
                .more("Greater than 0. They are notified of as they are committed; this is the net below that."),
            inert("db_update_propagation", Number, "0", "Seconds a change takes to reach database replicas.", IN_MEMORY),
            inert("db_cache_ttl", Number, "0", "Seconds an entity stays cached.", IN_MEMORY),
            inert("db_cache_neg_ttl", Number, "", "Seconds a missing entity stays cached.", IN_MEMORY),
            inert("db_resurrect_ttl", Number, "30", "Seconds a stale entity is used while the database is away.", IN_MEMORY),
            inert("db_cache_warmup_entities", List, "services", "Entities read before the first request.", IN_MEMORY),
            inert("mem_cache_size", Size, "128m", "Memory for cached entities.", IN_MEMORY),
        ],
    },
    Group {
        title: "The link between the planes",
        about: "How control plane and data planes find and know each other.",
        properties: &[
            effective("cluster_listen", Listen, "0.0.0.0:8005", CP, "Where a control plane expects its data planes."),
            effective("cluster_control_plane", Text, "127.0.0.1:8005", DP, "`host:port` of the control plane; several, separated by commas, are tried in turn.")
                .more("Kong takes one."),
            effective("cluster_cert", Pem, "", HYBRID, "Certificate of this node on the link; in shared mode the same on every node.")
                .more("Made once by `gateway hybrid gen_cert`, and copied to all nodes. `start` and `check` say when it is about to expire."),
            effective("cluster_cert_key", PemKey, "", HYBRID, "Private key of cluster_cert."),
            only("cluster_mtls", Choice(&["shared", "pki"]), "shared", HYBRID, &["shared"], "How the planes know each other.", "certificates signed by a common authority are not part of this version; use shared, with one pair on all nodes"),
            effective("cluster_trust_key", Text, "", DP, "The control plane's public key, base64 of 32 bytes or a file of it; unset, the first one seen is kept (ours).")
                .more("Revisions are signed by the control plane. A data plane that meets it for the first time logs the key, and keeps it in `cluster_trust.pub` under its prefix."),
            effective("cluster_data_plane_purge_delay", Whole, "1209600", CP, "Seconds after which a data plane that is gone is forgotten.")
                .more("60 or more."),
            effective("cluster_dp_labels", List, "", DP, "`key:value` labels of this data plane, as the control plane shows them.")
                .more("Ten at most, of up to 63 letters, digits, `.`, `-`, `_` and `:` each. An error in other roles, as in Kong."),
            only("cluster_ocsp", Choice(&["on", "off", "optional"]), "off", CP, &["off"], "Whether data planes' certificates are checked for revocation.", "revocation is not checked in this version; set it to off"),
            only("cluster_use_proxy", Flag, "off", DP, &["off", "false"], "Whether to reach the control plane through proxy_server.", "data planes reach the control plane directly in this version; set it to off and let them"),
            inert("cluster_ca_cert", Pem, "", "Authority of the certificates on the link.", NO_PKI),
            inert("cluster_ca_partial_chain", Flag, "off", "Whether an intermediate may be an anchor (ours).", NO_PKI),
            inert("cluster_server_name", Text, "", "Name the control plane's certificate must have.", NO_PKI),
            inert("cluster_max_payload", Whole, "16777216", "Largest message on the link, bytes.", OWN_LINK),
            inert("cluster_version_check", Choice(&["relaxed", "strict"]), "relaxed", "How alike versions of the planes must be (ours).", "the planes compare what they can do, not their numbers"),
            inert("cluster_rpc", Flag, "off", "Kong's second protocol on the link.", OWN_LINK),
            inert("cluster_rpc_sync", Flag, "off", "Kong's incremental synchronisation.", OWN_LINK),
            inert("cluster_incremental_sync", Flag, "off", "The same in Kong 3.9.", OWN_LINK),
            inert("cluster_cjson", Flag, "off", "Kong's encoder for the link.", OWN_LINK),
            inert("cluster_telemetry_listen", Listen, "0.0.0.0:8006", "Where a control plane expects telemetry.", NO_TELEMETRY),
            inert("cluster_telemetry_endpoint", Text, "", "`host:port` telemetry is sent to.", NO_TELEMETRY),
            inert("cluster_telemetry_server_name", Text, "", "Name the telemetry end's certificate must have.", NO_TELEMETRY),
            inert("analytics_flush_interval", Number, "1", "Seconds between reports of telemetry.", NO_TELEMETRY),
            inert("analytics_buffer_size_limit", Whole, "100000", "Requests remembered while telemetry cannot be sent.", NO_TELEMETRY),
            inert("proxy_server", Secret, "", "Forward proxy to the control plane.", "it counts only with cluster_use_proxy, which is not part of this version"),
            inert("proxy_server_ssl_verify", Flag, "on", "Whether the forward proxy's certificate is checked.", "it counts only with cluster_use_proxy, which is not part of this version"),
        ],
    },
    Group {
        title: "The cache of a data plane",
        about: "What a data plane starts from while its control plane is away.",
        properties: &[
            only("data_plane_config_cache_mode", Choice(&["unencrypted", "encrypted", "off"]), "unencrypted", DP, &["unencrypted", "off"], "Whether a data plane keeps its configuration on disk.", "encryption is not part of this version; use off, or unencrypted on an encrypted disk")
                .more("A data plane with a cache starts and serves without its control plane."),
            effective("data_plane_config_cache_path", Path, "", DP, "Directory the cache, `dbless.lmdb`, is in; unset, the prefix.")
                .more("Relative to where the process was started."),
            effective("lmdb_environment_path", Path, "dbless.lmdb", DP, "The cache directory itself, under the prefix, where data_plane_config_cache_path is unset."),
            inert("lmdb_map_size", Size, "2048m", "Largest size of the cache.", "the cache is sized when it is written"),
            inert("cluster_cache_key", Secret, "", "Key of an encrypted cache (ours).", "the cache is not encrypted in this version"),
        ],
    },
    Group {
        title: "Routing",
        about: "How routes are written, and which of several is served.",
        properties: &[
            effective("router_flavor", Choice(&["traditional_compatible", "traditional", "expressions"]), "traditional_compatible", ALL, "How routes are written: with expressions, or by attributes alone; the same on all nodes.")
                .more("`traditional` is served as `traditional_compatible`, which is said at start with what differs. See [routing](routing.md)."),
            effective("router_priority", Choice(&["kong_effective", "documented"]), "kong_effective", ALL, "Which of several matching routes is served: as Kong 3.10 does it, or as its manual says; the same on all nodes (ours).")
                .more("See [which of several](routing.md#which-of-several)."),
            effective("allow_debug_header", Flag, "off", PROXY, "Whether a client that sends `Kong-Debug: 1` is told its route and service.")
                .more("In `Kong-Route-Id`, `Kong-Route-Name`, `Kong-Service-Id` and `Kong-Service-Name` of the response."),
            inert("request_debug", Flag, "on", "Whether a client may ask for timings.", "there are no debug timings"),
            inert("request_debug_token", Secret, "", "What such a client must know.", "there are no debug timings"),
        ],
    },
    Group {
        title: "Headers",
        about: "What is added to requests and responses, and whom to believe about clients.",
        properties: &[
            effective("headers", List, "server_tokens, latency_tokens, X-Kong-Request-Id", ALL, "Headers added to responses; `off` for none.")
                .more("Of `Server`, `Via`, `X-Kong-Proxy-Latency`, `X-Kong-Upstream-Latency`, `X-Kong-Response-Latency`, `X-Kong-Admin-Latency`, `X-Kong-Upstream-Status` and `X-Kong-Request-Id`; `server_tokens` is the first two, `latency_tokens` the four latencies. Case does not count. `off` counts only where it comes first."),
            effective("headers_upstream", List, "X-Kong-Request-Id", PROXY, "Headers added to upstream requests; `off` for none.")
                .more("There is no other one."),
            effective("trusted_ips", List, "", PROXY, "Addresses and networks whose `X-Forwarded-*` headers are believed.")
                .more("IPv4, IPv6 or CIDR; `0.0.0.0/0, ::/0` for everybody. `unix:` is accepted: no listener is one."),
            effective("real_ip_header", Text, "X-Real-IP", PROXY, "Header a trusted peer names the client's address in, or `proxy_protocol`.")
                .more("`proxy_protocol` needs a listener with that flag. Without trusted_ips nobody is believed."),
            effective("real_ip_recursive", Flag, "off", PROXY, "Whether to skip trusted addresses in that header, from the right."),
            mapped("nginx_proxy_real_ip_header", Text, "X-Real-IP", "real_ip_header"),
            mapped("nginx_proxy_real_ip_recursive", Flag, "off", "real_ip_recursive"),
            inert("nginx_http_charset", Text, "UTF-8", "Character set added to responses.", "text without a charset is marked as UTF-8, Kong's default"),
        ],
    },
    Group {
        title: "Limits of clients",
        about: "How much a client may send, and how long it may take. They are nginx's directives under the names Kong has for them, `nginx_http_` or `nginx_proxy_` before the directive, which is the same here. What is beyond them: [limits](security.md#limits).",
        properties: &[
            effective("nginx_http_client_max_body_size", Size, "0", PROXY, "Largest request body; 0 is no limit.")
                .more("Beyond it, 413."),
            effective("nginx_http_http2_max_concurrent_streams", Whole, "128", PROXY, "Requests at a time on one HTTP/2 connection.")
                .more("From 1 to 10000."),
            effective("strict_status", Flag, "off", PROXY, "Whether a head that is too large is answered 431, as RFC 6585 has it, rather than Kong's 400 (ours)."),
            effective("nginx_admin_client_max_body_size", Size, "10m", ADMIN, "Largest request body of the Admin API; 0 is no limit.")
                .more("Beyond it, 413. It bounds `POST /config` as well: raise it for a large document."),
            effective("nginx_http_client_body_buffer_size", Size, "64k", PROXY, "Memory for a request body that is waited for; the rest of it is kept in a file (Kong's is 8k).")
                .more("64m or less: every client may have as much."),
            effective("nginx_http_keepalive_requests", Whole, "10000", PROXY, "Requests on one client connection.")
                .more("1 or more."),
            effective("nginx_http_client_body_temp_path", Text, "client_body_temp", PROXY, "Directory for what of a request body does not fit into memory, under the prefix."),
            effective("nginx_http_client_header_timeout", Time, "60s", PROXY, "How long the head of a request may take, and a TLS handshake.")
                .more("Beyond it, 408."),
            effective("nginx_http_client_body_timeout", Time, "60s", PROXY, "How long a client may pause within a request body.")
                .more("Beyond it, 408 or, over HTTP/2, a reset."),
            effective("nginx_http_send_timeout", Time, "60s", PROXY, "How long a client may take nothing of what it is sent.")
                .more("Beyond it, the connection is closed or, over HTTP/2, the stream reset."),
            effective("nginx_http_keepalive_timeout", Text, "75s", PROXY, "How long a client connection may be idle; 0, it ends after one request.")
                .more("A second time, which nginx tells clients, is accepted and not told."),
            effective("nginx_http_large_client_header_buffers", Text, "4 8k", PROXY, "How large the head of a request may be: how many lines' worth, and how long one line may be.")
                .more("A longer request line is answered 414, a longer field or a larger head 400 (431 with strict_status). 64 lines of 1k to 64k at most, together 512k."),
            mapped("nginx_proxy_http2_max_concurrent_streams", Whole, "128", "nginx_http_http2_max_concurrent_streams"),
            mapped("client_body_buffer_size", Size, "64k", "nginx_http_client_body_buffer_size"),
            mapped("nginx_proxy_client_max_body_size", Size, "0", "nginx_http_client_max_body_size"),
            mapped("nginx_proxy_client_body_buffer_size", Size, "64k", "nginx_http_client_body_buffer_size"),
            mapped("nginx_proxy_client_body_temp_path", Text, "client_body_temp", "nginx_http_client_body_temp_path"),
            mapped("nginx_proxy_client_header_timeout", Time, "60s", "nginx_http_client_header_timeout"),
            mapped("nginx_proxy_client_body_timeout", Time, "60s", "nginx_http_client_body_timeout"),
            mapped("nginx_proxy_send_timeout", Time, "60s", "nginx_http_send_timeout"),
            mapped("nginx_proxy_keepalive_timeout", Text, "75s", "nginx_http_keepalive_timeout"),
            mapped("nginx_proxy_keepalive_requests", Whole, "10000", "nginx_http_keepalive_requests"),
            mapped("nginx_proxy_large_client_header_buffers", Text, "4 8k", "nginx_http_large_client_header_buffers"),
            inert("nginx_http_client_header_buffer_size", Size, "", "Memory for the head of a request.", "a head is read into what nginx_http_large_client_header_buffers allows"),
            inert("nginx_admin_client_body_buffer_size", Size, "10m", "Memory for a request body of the Admin API.", "bodies are held in memory up to nginx_admin_client_max_body_size"),
        ],
    },
    Group {
        title: "Errors of our own",
        about: "What answers look like that no upstream gave.",
        properties: &[
            effective("error_default_type", Choice(&["application/json", "application/xml", "text/html", "text/plain"]), "text/plain", PROXY, "Type of the body of an error of the server's own where the request names none.")
                .more("Kong takes the type from Accept, and so is it here."),
            effective("error_template_html", Path, "", PROXY, "File with the body of HTML errors; `%s` stands for the message, then for the request's id.")
                .more("Read at start, where one that cannot be filled in is an error; `%%` is a percent sign."),
            effective("error_template_json", Path, "", PROXY, "File with the body of JSON errors; `%s` stands for the message, then for the request's id.")
                .more("As error_template_html."),
            effective("error_template_xml", Path, "", PROXY, "File with the body of XML errors; `%s` stands for the message, then for the request's id.")
                .more("As error_template_html."),
            effective("error_template_plain", Path, "", PROXY, "File with the body of plain errors; `%s` stands for the message, then for the request's id.")
                .more("As error_template_html."),
        ],
    },
    Group {
        title: "TLS with clients",
        about: "Certificates themselves belong to the configuration, and can be changed without a restart.",
        properties: &[
            effective("ssl_cert", Pem, "", PROXY, "Certificates clients are shown by default: one, or two with keys of different types, separated by a comma.")
                .more("Shown where no SNI of the configuration fits. Unset, a self-signed one is made at each start."),
            effective("ssl_cert_key", PemKey, "", PROXY, "Private keys of ssl_cert.")
                .more("As many as there are certificates, in their order."),
            effective("ssl_cipher_suite", Choice(&["modern", "intermediate", "old", "fips", "custom"]), "intermediate", ALL, "Ciphers and TLS versions clients may use.")
                .more("On all listeners but that of the link. Mozilla's names: `modern` is TLS 1.3 alone, `intermediate` TLS 1.2 and 1.3, `old` from TLS 1.0 on. `custom` leaves it to ssl_ciphers, ssl_protocols and ssl_prefer_server_ciphers, which are without effect with the others. `fips` is an error: there is no FIPS module."),
            effective("ssl_ciphers", Text, "", ALL, "Ciphers, where the suite is custom.")
                .more("In OpenSSL's words. Required there."),
            effective("ssl_protocols", Text, "TLSv1.2 TLSv1.3", ALL, "TLS versions clients may use, where the suite is custom.")
                .more("Of TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3; none between the oldest and the newest is left out."),
            effective("ssl_prefer_server_ciphers", Flag, "on", ALL, "Whether our order of ciphers counts, where the suite is custom."),
            effective("ssl_session_tickets", Flag, "on", PROXY, "Whether sessions resume by ticket."),
            mapped("nginx_http_ssl_protocols", Text, "", "ssl_protocols"),
            mapped("nginx_http_ssl_prefer_server_ciphers", Flag, "", "ssl_prefer_server_ciphers"),
            mapped("nginx_http_ssl_session_tickets", Flag, "", "ssl_session_tickets"),
            mapped("nginx_http_ssl_ciphers", Text, "", "ssl_ciphers"),
            inert("nginx_http_ssl_session_timeout", Text, "", "How long a session may be resumed.", NO_SESSIONS),
            inert("nginx_http_ssl_dhparam", Pem, "", "Diffie-Hellman parameters.", ELLIPTIC),
            inert("nginx_stream_ssl_protocols", Text, "", "TLS versions of streams.", ONE_CONTEXT),
            inert("nginx_stream_ssl_prefer_server_ciphers", Flag, "", "Whether the server's order of ciphers counts for streams.", ONE_CONTEXT),
            inert("nginx_stream_ssl_session_tickets", Flag, "", "Whether sessions of streams resume by ticket.", ONE_CONTEXT),
            inert("nginx_stream_ssl_session_timeout", Text, "", "How long a session of a stream may be resumed.", NO_SESSIONS),
            inert("nginx_stream_ssl_dhparam", Pem, "", "Diffie-Hellman parameters of streams.", ELLIPTIC),
            inert("ssl_dhparam", Pem, "", "Diffie-Hellman parameters.", ELLIPTIC),
            inert("ssl_session_timeout", Text, "1d", "How long a session may be resumed.", NO_SESSIONS),
            inert("ssl_session_cache_size", Size, "10m", "Memory for sessions.", "sessions are kept by clients, in tickets"),
            effective("status_ssl_cert", Pem, "", ALL, "Certificates of the status listener, where it has `ssl`: several, separated by commas, if their keys differ in type.")
                .more("Unset, a self-signed one is made, and kept under `ssl` in the prefix."),
            effective("status_ssl_cert_key", PemKey, "", ALL, "Private keys of status_ssl_cert.")
                .more("As many as there are certificates, in their order."),
            inert("debug_ssl_cert", Pem, "", "Certificates of the debug listener.", NO_DEBUG_LISTENER),
            inert("debug_ssl_cert_key", PemKey, "", "Private keys of debug_ssl_cert.", NO_DEBUG_LISTENER),
        ],
    },
    Group {
        title: "Connections to upstreams",
        about: "Timeouts and retries are said with each service.",
        properties: &[
            effective("upstream_keepalive_pool_size", Whole, "512", PROXY, "Idle connections to upstreams that a worker keeps, to all of them together; 0 for none.")
                .more("Kong keeps as many for each address. The one idle for longest makes room."),
            effective("upstream_keepalive_max_requests", Whole, "10000", PROXY, "Requests that one connection to an upstream carries; 0 is no limit.")
                .more("The connection is closed when it would be used once more."),
            effective("upstream_keepalive_idle_timeout", Number, "60", PROXY, "Seconds an upstream connection may be idle; 0 is no limit."),
        ],
    },
    Group {
        title: "TLS with upstreams",
        about: "What counts where a service does not say.",
        properties: &[
            effective("client_ssl", Flag, "off", PROXY, "Whether upstreams that ask for a certificate are shown one where their service names none.")
                .more("It needs client_ssl_cert and client_ssl_cert_key."),
            effective("client_ssl_cert", Pem, "", PROXY, "Certificate shown to them."),
            effective("client_ssl_cert_key", PemKey, "", PROXY, "Private key of client_ssl_cert."),
            effective("nginx_proxy_proxy_ssl_verify", Flag, "off", PROXY, "Whether certificates of upstreams are verified where `tls_verify` of a service is null."),
            effective("nginx_proxy_proxy_ssl_verify_depth", Whole, "1", PROXY, "Intermediate certificates allowed where `tls_verify_depth` of a service is null.")
                .more("From 0 to 64."),
            effective("nginx_proxy_proxy_ssl_trusted_certificate", Pem, "", PROXY, "Authorities trusted where `ca_certificates` of a service is null; unset, those of lua_ssl_trusted_certificate."),
            effective("lua_ssl_trusted_certificate", List, "system", ALL, "Authorities trusted by services without `ca_certificates`, and by pg_ssl_verify: PEM, base64 of it, paths, and `system` for those of the system.")
                .more("In Kong it is for connections of Kong's own; here it counts for upstreams, where nginx_proxy_proxy_ssl_trusted_certificate is unset."),
            mapped("nginx_http_proxy_ssl_verify", Flag, "off", "nginx_proxy_proxy_ssl_verify"),
            mapped("nginx_http_proxy_ssl_verify_depth", Whole, "1", "nginx_proxy_proxy_ssl_verify_depth"),
            mapped("nginx_http_proxy_ssl_trusted_certificate", Pem, "", "nginx_proxy_proxy_ssl_trusted_certificate"),
            inert("lua_ssl_verify_depth", Whole, "1", "Intermediates allowed on outbound connections.", "nginx_proxy_proxy_ssl_verify_depth is for upstreams, and the link compares whole certificates"),
            inert("lua_ssl_protocols", Text, "TLSv1.2 TLSv1.3", "TLS versions of outbound connections.", "the link speaks TLS 1.3 only"),
        ],
    },
    Group {
        title: "Logs",
        about: "Where lines go. In the foreground, logs that are not set go to the terminal. How much is said is up to log_level.",
        properties: &[
            effective("proxy_access_log", Log, "logs/access.log", PROXY, "Where requests of clients are logged; in the foreground, unset, stdout.")
                .more("The format of a line is not to be chosen."),
            effective("proxy_error_log", Log, "logs/error.log", ALL, "Where everything else is logged; in the foreground, unset, stderr."),
            effective("admin_access_log", Log, "logs/admin_access.log", ADMIN, "Where requests of the Admin API are logged; in the foreground, unset, stdout."),
            effective("admin_error_log", Log, "logs/error.log", ALL, "Where the Admin API logs; in the foreground, unset, stderr."),
            inert("status_access_log", Log, "off", "Where requests of the status listener are logged.", "they are not logged"),
            inert("status_error_log", Log, "logs/status_error.log", "Where the status listener logs.", "it logs to proxy_error_log"),
            effective("proxy_stream_access_log", Log, "logs/access.log", PROXY, "Where streams are logged when they have ended; in the foreground, unset, stdout.")
                .more("`$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time`, as with Kong."),
            effective("proxy_stream_error_log", Log, "logs/error.log", PROXY, "Where it is logged that streams failed; in the foreground, unset, stderr."),
            inert("admin_gui_access_log", Log, "logs/admin_gui_access.log", "Where requests of the web interface are logged.", NO_MANAGER),
            inert("admin_gui_error_log", Log, "logs/admin_gui_error.log", "Where the web interface logs.", NO_MANAGER),
        ],
    },
    Group {
        title: "The web interface",
        about: "Kong Manager. It is not served here; one that is served elsewhere can use the Admin API.",
        properties: &[
            inert("admin_gui_listen", Listen, "0.0.0.0:8002, 0.0.0.0:8445 ssl", "Where the web interface is served.", NO_MANAGER),
            effective("admin_gui_url", List, "", ADMIN, "Addresses of web interfaces, whose pages browsers let use the Admin API.")
                .more("They go into Access-Control-Allow-Origin; unset, every page may, as with Kong. No interface is served by the gateway itself."),
            inert("admin_gui_path", Text, "/", "Path the web interface is under.", NO_MANAGER),
            inert("admin_gui_api_url", Text, "", "Address of the Admin API as a browser sees it.", NO_MANAGER),
            inert("admin_gui_csp_header", Flag, "off", "Whether a content security policy is sent.", NO_MANAGER),
            inert("admin_gui_ssl_cert", Pem, "", "Certificates of the web interface.", NO_MANAGER),
            inert("admin_gui_ssl_cert_key", PemKey, "", "Private keys of admin_gui_ssl_cert.", NO_MANAGER),
        ],
    },
    Group {
        title: "Names",
        about: "How host names of upstreams and control planes are resolved.",
        properties: &[
            inert("dns_resolver", List, "", "Name servers.", DNS),
            inert("dns_hostsfile", Path, "/etc/hosts", "The hosts file.", DNS),
            inert("dns_order", List, "LAST,SRV,A,CNAME", "Order of record types.", DNS),
            inert("dns_valid_ttl", Number, "", "Seconds an answer counts, whatever its TTL.", DNS),
            inert("dns_stale_ttl", Number, "3600", "Seconds a stale answer is used.", DNS),
            inert("dns_cache_size", Whole, "10000", "Answers kept.", DNS),
            inert("dns_not_found_ttl", Number, "30", "Seconds a missing name is remembered.", DNS),
            inert("dns_error_ttl", Number, "1", "Seconds an error is remembered.", DNS),
            inert("dns_no_sync", Flag, "off", "Whether equal queries are sent more than once.", DNS),
            inert("new_dns_client", Flag, "off", "Kong's second resolver.", DNS),
            inert("legacy_dns_client", Flag, "", "Kong's first resolver.", DNS),
            inert("resolver_address", List, "", "Name servers of Kong's second resolver.", DNS),
            inert("resolver_hosts_file", Path, "/etc/hosts", "Hosts file of Kong's second resolver.", DNS),
            inert("resolver_family", List, "A,SRV", "Record types Kong's second resolver asks for.", DNS),
            inert("resolver_valid_ttl", Number, "", "Seconds an answer counts in Kong's second resolver.", DNS),
            inert("resolver_stale_ttl", Number, "3600", "Seconds a stale answer is used by Kong's second resolver.", DNS),
            inert("resolver_error_ttl", Number, "1", "Seconds an error is remembered by Kong's second resolver.", DNS),
            inert("resolver_lru_cache_size", Whole, "10000", "Answers kept by Kong's second resolver.", DNS),
            inert("resolver_mem_cache_size", Size, "5m", "Memory for answers in Kong's second resolver.", DNS),
        ],
    },
    Group {
        title: "Plugins, filters, tracing",
        about: "What is done with requests on their way.",
        properties: &[
            effective("plugins", List, "bundled", ALL, "Types of plugins that may be used: `bundled`, which is all there are, single ones by name, or `off`.")
                .more("A name of which there is no plugin keeps the node from starting. A plugin of a type that may not be used is refused by the Admin API and in documents."),
            inert("pluginserver_names", List, "", "Servers of plugins outside this process.", NO_PLUGINS),
            only("wasm", Flag, "off", ALL, &["off", "false"], "WebAssembly filters.", NO_WASM),
            inert("wasm_filters", List, "bundled,user", "Filters that may be used.", NO_WASM),
            inert("wasm_filters_path", Path, "", "Directory of filters.", NO_WASM),
            inert("wasm_dynamic_module", Path, "", "nginx module that runs filters.", NO_WASM),
            inert("tracing_instrumentations", List, "off", "What is traced.", NO_TRACING),
            inert("tracing_sampling_rate", Number, "0.01", "Share of requests traced.", NO_TRACING),
            inert("opentelemetry_tracing", List, "off", "What is traced.", NO_TRACING),
            inert("opentelemetry_tracing_sampling_rate", Number, "0.01", "Share of requests traced.", NO_TRACING),
        ],
    },
    Group {
        title: "Parts of Kong's machine",
        about: "What belongs to nginx and Lua.",
        properties: &[
            inert("host_ports", List, "", "Ports outside a container, by port inside.", "port_maps says it"),
            inert("openresty_path", Path, "", "Where OpenResty is installed.", NO_NGINX),
            inert("lua_package_path", Text, "./?.lua;./?/init.lua;", "Where Lua modules are looked for.", NO_LUA),
            inert("lua_package_cpath", Text, "", "Where native Lua modules are looked for.", NO_LUA),
            inert("lua_socket_pool_size", Whole, "256", "Connections a Lua socket pool keeps.", NO_LUA),
            inert("lua_max_req_headers", Whole, "100", "Request headers Lua code is shown.", NO_LUA),
            inert("lua_max_resp_headers", Whole, "100", "Response headers Lua code is shown.", NO_LUA),
            inert("lua_max_uri_args", Whole, "100", "Query arguments Lua code is shown.", NO_LUA),
            inert("lua_max_post_args", Whole, "100", "Form arguments Lua code is shown.", NO_LUA),
            inert("nginx_http_lua_regex_match_limit", Whole, "100000", "Steps a regular expression may take.", "regular expressions are matched in linear time"),
            inert("nginx_http_lua_regex_cache_max_entries", Whole, "8192", "Regular expressions kept compiled.", "those of routes are compiled with the configuration"),
            inert("untrusted_lua", Choice(&["on", "off", "sandbox"]), "sandbox", "Whether configuration may carry Lua code.", NO_LUA),
            inert("untrusted_lua_sandbox_requires", List, "", "Lua modules such code may load.", NO_LUA),
            inert("untrusted_lua_sandbox_environment", List, "", "Lua variables such code may see.", NO_LUA),
        ],
    },
    Group {
        title: "Kong's enterprise edition",
        about: "What would protect something there, and would not here, is not dropped in silence.",
        properties: &[
            only("enforce_rbac", Text, "off", ALL, &["off"], "Who may use the Admin API.", ENTERPRISE),
            refused("admin_gui_auth", Text, "Who may use the web interface.", ENTERPRISE),
            only("keyring_enabled", Flag, "off", ALL, &["off", "false"], "Encryption of the database.", ENTERPRISE),
            only("fips", Flag, "off", ALL, &["off", "false"], "Certified cryptography only.", ENTERPRISE),
            refused("cluster_allowed_common_names", List, "Names data planes' certificates may have.", ENTERPRISE),
        ],
    },
];

/// The families of made-up names. The first that holds a name counts.
pub static FAMILIES: &[Family] = &[
    Family { prefix: "nginx_", suffix: "_allow", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_deny", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_satisfy", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_auth_basic", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_auth_request", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_ssl_verify_client", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_admin_", suffix: "ssl_crl", standing: Refused(REVOCATION) },
    Family { prefix: "nginx_admin_", suffix: "ssl_ocsp", standing: Refused(REVOCATION) },
    Family { prefix: "nginx_main_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_events_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_http_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_upstream_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_proxy_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_location_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_status_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_admin_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_stream_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_supstream_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_sproxy_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "nginx_wasm_", suffix: "", standing: Inert(NO_NGINX) },
    Family { prefix: "vault_", suffix: "", standing: Inert(NO_VAULTS) },
    Family { prefix: "pluginserver_", suffix: "", standing: Inert(NO_PLUGINS) },
];
