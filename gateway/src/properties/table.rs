//! The table itself, grouped as an operator would look for things.
//!
//! A line per property: name, kind, default, standing (hidden in the constructor's name), meaning.
//! Names and defaults are Kong 3.10's unless the group says that they are ours.

use super::Kind::{
    Choice, Flag, List, Listen, Log, Number, Path, Pem, PemKey, Secret, Size, Text, Time, Whole,
};
use super::Standing::{Effective, Inert, Mapped, Only, Refused};
use super::{Family, Kind, Property};

const NO_TLS_LISTENER: &str = "only the listeners of proxy_listen speak TLS in this version";
const NO_NGINX: &str = "there is no nginx underneath";
const NO_LUA: &str = "there is no Lua inside";
const NO_MANAGER: &str = "the web interface is not part of this version";
const NO_POSTGRES: &str = "PostgreSQL is not part of this version";
const NO_PLUGINS: &str = "plugins are not part of this version";
const NO_VAULTS: &str = "vaults are not part of this version";
const NO_STREAMS: &str =
    "TCP, TLS and UDP proxying are not part of this version; remove it or set it to off";
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

/// Every property.
#[rustfmt::skip] // a line each
pub static TABLE: &[Property] = &[
    // The process.
    effective("prefix", Path, "/var/lib/gateway", "Directory for the database, the cache, keys, logs and pid files."),
    effective("role", Choice(&["traditional", "control_plane", "data_plane"]), "traditional", "What this node is: both planes in one process, or one of them."),
    effective("log_level", Choice(&["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"]), "notice", "The least severe lines that are logged."),
    effective("nginx_daemon", Flag, "", "Whether `start` leaves the terminal; unset, only when called by the name `kong`."),
    mapped("nginx_main_daemon", Flag, "", "nginx_daemon"),
    inert("node_id", Text, "", "Identity of this node.", "a node's id is derived from the key in <prefix>/node.key, so that no other node can take it"),
    inert("nginx_user", Text, "kong kong", "User and group of the workers.", "the process stays the user that started it; say User= in the unit"),
    inert("nginx_main_user", Text, "kong kong", "User and group of the workers.", "the process stays the user that started it; say User= in the unit"),
    inert("anonymous_reports", Flag, "off", "Whether to tell the vendor about this installation.", "nothing is ever reported to anyone"),
    inert("kic", Flag, "off", "Whether an ingress controller drives this node.", "a node behaves the same whoever drives it"),

    // Workers (ours; nginx's names lead to them).
    effective("workers", Text, "auto", "Worker threads: a number, or `auto` for the CPUs this process may use."),
    effective("worker_cores", List, "", "CPUs the workers are pinned to, such as `2-7,9`; unset, those the process may use."),
    mapped("nginx_worker_processes", Text, "auto", "workers"),
    mapped("nginx_main_worker_processes", Text, "auto", "workers"),
    inert("nginx_main_worker_rlimit_nofile", Text, "auto", "Limit of open files.", "the limit of the process counts; say LimitNOFILE= in the unit"),
    effective("nginx_events_worker_connections", Text, "auto", "Connections a worker may have with clients; auto, as many as there may be open files."),
    inert("nginx_events_multi_accept", Flag, "on", "Accept several connections at once.", NO_NGINX),
    inert("worker_consistency", Choice(&["eventual", "strict"]), "eventual", "When workers change to a new configuration.", PUSHED),
    inert("router_consistency", Choice(&["eventual", "strict"]), "", "When workers change to a new configuration.", PUSHED),
    inert("worker_state_update_frequency", Number, "5", "Seconds between looks for a new configuration.", PUSHED),
    inert("worker_events_max_payload", Whole, "65535", "Largest event between workers, bytes.", "workers do not send each other events"),
    inert("dedicated_config_processing", Flag, "on", "Whether a process of its own reads the configuration.", "threads of their own always do"),
    inert("privileged_worker", Flag, "", "Whether a process of its own reads the configuration.", "threads of their own always do"),

    // Listeners.
    effective("proxy_listen", Listen, "0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384", "Where clients are served."),
    effective("admin_listen", Listen, "127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384", "Where the Admin API is served."),
    effective("status_listen", Listen, "127.0.0.1:8007 reuseport backlog=16384", "Where health and status are served."),
    only("stream_listen", Listen, "off", &["off"], "Where TCP, TLS and UDP clients are served.", NO_STREAMS),
    effective("port_maps", List, "", "`public:listening` pairs of ports, for forwarding headers behind a port mapping."),

    // The database, or what is there in place of one.
    effective("database", Text, "", "postgres, sqlite or off: where the configuration is kept; off, it is a document; unset, what the role and pg_* suggest."),
    effective("revision_log_keep", Whole, "1000", "Revisions whose steps the database keeps (ours)."),
    effective("audit_keep_days", Whole, "90", "Days that who changed what is kept (ours)."),
    effective("declarative_config", Path, "", "A file with the whole configuration, where there is no database."),
    effective("declarative_config_string", Secret, "", "The whole configuration as text, where there is no database."),
    inert("pg_host", Text, "127.0.0.1", "PostgreSQL host.", NO_POSTGRES),
    inert("pg_port", Whole, "5432", "PostgreSQL port.", NO_POSTGRES),
    inert("pg_user", Text, "kong", "PostgreSQL user.", NO_POSTGRES),
    inert("pg_password", Secret, "", "PostgreSQL password.", NO_POSTGRES),
    inert("pg_database", Text, "kong", "PostgreSQL database.", NO_POSTGRES),
    inert("pg_schema", Text, "", "PostgreSQL schema.", NO_POSTGRES),
    inert("pg_timeout", Whole, "5000", "PostgreSQL timeout, ms.", NO_POSTGRES),
    inert("pg_ssl", Flag, "off", "TLS to PostgreSQL.", NO_POSTGRES),
    inert("pg_ssl_verify", Flag, "off", "Whether PostgreSQL's certificate is checked.", NO_POSTGRES),
    inert("pg_max_concurrent_queries", Whole, "0", "Queries at once; 0 is no limit.", NO_POSTGRES),
    inert("pg_semaphore_timeout", Whole, "60000", "Wait for a free query slot, ms.", NO_POSTGRES),
    inert("pg_keepalive_timeout", Whole, "", "Idle time of a pooled connection, ms.", NO_POSTGRES),
    inert("pg_pool_size", Whole, "", "Pooled connections.", NO_POSTGRES),
    inert("pg_backlog", Whole, "", "Queries waiting for a connection.", NO_POSTGRES),
    inert("pg_ro_host", Text, "", "Host of the read-only replica.", NO_POSTGRES),
    inert("pg_ro_port", Whole, "", "Port of the read-only replica.", NO_POSTGRES),
    inert("pg_ro_user", Text, "", "User at the read-only replica.", NO_POSTGRES),
    inert("pg_ro_password", Secret, "", "Password at the read-only replica.", NO_POSTGRES),
    inert("pg_ro_database", Text, "", "Database of the read-only replica.", NO_POSTGRES),
    inert("pg_ro_schema", Text, "", "Schema at the read-only replica.", NO_POSTGRES),
    inert("pg_ro_timeout", Whole, "", "Timeout of the read-only replica, ms.", NO_POSTGRES),
    inert("pg_ro_ssl", Flag, "", "TLS to the read-only replica.", NO_POSTGRES),
    inert("pg_ro_ssl_verify", Flag, "", "Whether the replica's certificate is checked.", NO_POSTGRES),
    inert("pg_ro_max_concurrent_queries", Whole, "", "Queries at once at the replica.", NO_POSTGRES),
    inert("pg_ro_semaphore_timeout", Whole, "", "Wait for a free query slot at the replica, ms.", NO_POSTGRES),
    inert("pg_ro_keepalive_timeout", Whole, "", "Idle time of a pooled connection to the replica, ms.", NO_POSTGRES),
    inert("pg_ro_pool_size", Whole, "", "Pooled connections to the replica.", NO_POSTGRES),
    inert("pg_ro_backlog", Whole, "", "Queries waiting for the replica.", NO_POSTGRES),
    inert("_debug_pg_ttl_cleanup_interval", Whole, "300", "Seconds between clean-ups of expired rows.", NO_POSTGRES),
    inert("db_update_frequency", Number, "5", "Seconds between looks for changes by other nodes.", IN_MEMORY),
    inert("db_update_propagation", Number, "0", "Seconds a change takes to reach database replicas.", IN_MEMORY),
    inert("db_cache_ttl", Number, "0", "Seconds an entity stays cached.", IN_MEMORY),
    inert("db_cache_neg_ttl", Number, "", "Seconds a missing entity stays cached.", IN_MEMORY),
    inert("db_resurrect_ttl", Number, "30", "Seconds a stale entity is used while the database is away.", IN_MEMORY),
    inert("db_cache_warmup_entities", List, "services", "Entities read before the first request.", IN_MEMORY),
    inert("mem_cache_size", Size, "128m", "Memory for cached entities.", IN_MEMORY),

    // The link between the planes.
    effective("cluster_listen", Listen, "0.0.0.0:8005", "Where a control plane expects its data planes."),
    effective("cluster_control_plane", Text, "127.0.0.1:8005", "`host:port` of the control plane; several, separated by commas, are tried in turn."),
    effective("cluster_cert", Pem, "", "Certificate of this node on the link; in shared mode the same on every node."),
    effective("cluster_cert_key", PemKey, "", "Private key of cluster_cert."),
    only("cluster_mtls", Choice(&["shared", "pki"]), "shared", &["shared"], "How the planes know each other.", "certificates signed by a common authority are not part of this version; use shared, with one pair on all nodes"),
    effective("cluster_trust_key", Text, "", "The control plane's public key, base64 of 32 bytes or a file of it; unset, the first one seen is kept (ours)."),
    effective("cluster_data_plane_purge_delay", Whole, "1209600", "Seconds after which a data plane that is gone is forgotten; 60 or more."),
    effective("cluster_dp_labels", List, "", "`key:value` labels of this data plane."),
    only("cluster_ocsp", Choice(&["on", "off", "optional"]), "off", &["off"], "Whether data planes' certificates are checked for revocation.", "revocation is not checked in this version; set it to off"),
    only("cluster_use_proxy", Flag, "off", &["off", "false"], "Whether to reach the control plane through proxy_server.", "data planes reach the control plane directly in this version; set it to off and let them"),
    inert("cluster_ca_cert", Pem, "", "Authority of the certificates on the link.", NO_PKI),
    inert("cluster_ca_partial_chain", Flag, "off", "Whether an intermediate may be an anchor (ours).", NO_PKI),
    inert("cluster_server_name", Text, "", "Name the control plane's certificate must have.", NO_PKI),
    inert("cluster_max_payload", Whole, "16777216", "Largest message on the link, bytes.", OWN_LINK),
    inert("cluster_version_check", Choice(&["relaxed", "strict"]), "relaxed", "How alike versions of the planes must be (ours).", "the planes compare what they can do, not their numbers"),
    inert("cluster_rpc", Flag, "off", "Kong's second protocol on the link.", OWN_LINK),
    inert("cluster_rpc_sync", Flag, "off", "Kong's incremental synchronisation.", OWN_LINK),
    inert("cluster_cjson", Flag, "off", "Kong's encoder for the link.", OWN_LINK),
    inert("cluster_telemetry_listen", Listen, "0.0.0.0:8006", "Where a control plane expects telemetry.", NO_TELEMETRY),
    inert("cluster_telemetry_endpoint", Text, "", "`host:port` telemetry is sent to.", NO_TELEMETRY),
    inert("cluster_telemetry_server_name", Text, "", "Name the telemetry end's certificate must have.", NO_TELEMETRY),
    inert("proxy_server", Secret, "", "Forward proxy to the control plane.", "it counts only with cluster_use_proxy, which is not part of this version"),
    inert("proxy_server_ssl_verify", Flag, "on", "Whether the forward proxy's certificate is checked.", "it counts only with cluster_use_proxy, which is not part of this version"),

    // The cache of a data plane.
    only("data_plane_config_cache_mode", Choice(&["unencrypted", "encrypted", "off"]), "unencrypted", &["unencrypted", "off"], "Whether a data plane keeps its configuration on disk.", "encryption is not part of this version; use off, or unencrypted on an encrypted disk"),
    effective("data_plane_config_cache_path", Path, "", "Directory the cache, `dbless.lmdb`, is in; unset, the prefix."),
    effective("lmdb_environment_path", Path, "dbless.lmdb", "The cache directory itself, where data_plane_config_cache_path is unset."),
    inert("lmdb_map_size", Size, "2048m", "Largest size of the cache.", "the cache is sized when it is written"),
    inert("cluster_cache_key", Secret, "", "Key of an encrypted cache (ours).", "the cache is not encrypted in this version"),

    // Requests and responses.
    effective("headers", List, "server_tokens, latency_tokens, X-Kong-Request-Id", "Headers added to responses; `off` for none."),
    effective("headers_upstream", List, "X-Kong-Request-Id", "Headers added to upstream requests; `off` for none."),
    effective("trusted_ips", List, "", "Addresses and networks whose X-Forwarded-* headers are believed."),
    effective("real_ip_header", Text, "X-Real-IP", "Header a trusted peer names the client's address in, or proxy_protocol."),
    effective("real_ip_recursive", Flag, "off", "Whether to skip trusted addresses in that header, from the right."),
    mapped("nginx_proxy_real_ip_header", Text, "X-Real-IP", "real_ip_header"),
    mapped("nginx_proxy_real_ip_recursive", Flag, "off", "real_ip_recursive"),
    effective("nginx_http_client_max_body_size", Size, "0", "Largest request body; 0 is no limit."),
    effective("nginx_http_http2_max_concurrent_streams", Whole, "128", "Requests at a time on one HTTP/2 connection."),
    mapped("nginx_proxy_http2_max_concurrent_streams", Whole, "128", "nginx_http_http2_max_concurrent_streams"),
    effective("strict_status", Flag, "off", "Whether a head that is too large is answered 431, as RFC 6585 has it, rather than Kong's 400 (ours)."),
    effective("nginx_admin_client_max_body_size", Size, "10m", "Largest request body of the Admin API; 0 is no limit."),
    effective("upstream_keepalive_pool_size", Whole, "512", "Idle connections to upstreams that a worker keeps; 0 for none."),
    effective("upstream_keepalive_max_requests", Whole, "10000", "Requests that one connection to an upstream carries; 0 is no limit."),
    effective("upstream_keepalive_idle_timeout", Number, "60", "Seconds an upstream connection may be idle; 0 is no limit."),
    effective("error_default_type", Choice(&["application/json", "application/xml", "text/html", "text/plain"]), "text/plain", "Type of the body of an error of the server's own where the request names none."),
    effective("error_template_html", Path, "", "File with the body of HTML errors; %s stands for the message, then for the request's id."),
    effective("error_template_json", Path, "", "File with the body of JSON errors; %s stands for the message, then for the request's id."),
    effective("error_template_xml", Path, "", "File with the body of XML errors; %s stands for the message, then for the request's id."),
    effective("error_template_plain", Path, "", "File with the body of plain errors; %s stands for the message, then for the request's id."),
    effective("router_flavor", Choice(&["traditional_compatible", "traditional", "expressions"]), "traditional_compatible", "How routes are written: with expressions, or by attributes alone; the same on all nodes."),
    effective("router_priority", Choice(&["kong_effective", "documented"]), "kong_effective", "Which of several matching routes is served: as Kong 3.10 does it, or as its manual says; the same on all nodes (ours)."),
    effective("allow_debug_header", Flag, "off", "Whether a client that sends Kong-Debug is told its route and service."),
    inert("request_debug", Flag, "on", "Whether a client may ask for timings.", "there are no debug timings"),
    inert("request_debug_token", Secret, "", "What such a client must know.", "there are no debug timings"),
    mapped("client_body_buffer_size", Size, "64k", "nginx_http_client_body_buffer_size"),
    effective("nginx_http_client_body_buffer_size", Size, "64k", "Memory for a request body that is waited for; the rest of it is kept in a file (Kong's is 8k)."),
    inert("nginx_admin_client_body_buffer_size", Size, "10m", "Memory for a request body of the Admin API.", "bodies are held in memory up to nginx_admin_client_max_body_size"),
    effective("nginx_http_keepalive_requests", Whole, "10000", "Requests on one client connection."),
    effective("nginx_http_client_body_temp_path", Text, "client_body_temp", "Directory for what is more, under the prefix."),
    effective("nginx_http_client_header_timeout", Time, "60s", "How long the head of a request may take."),
    effective("nginx_http_client_body_timeout", Time, "60s", "How long a client may pause within a request body."),
    effective("nginx_http_send_timeout", Time, "60s", "How long a client may take nothing of what it is sent."),
    effective("nginx_http_keepalive_timeout", Text, "75s", "How long a client connection may be idle; 0, it ends after one request."),
    effective("nginx_http_large_client_header_buffers", Text, "4 8k", "How many lines of which length the head of a request may have, in bytes: number and size."),
    mapped("nginx_proxy_client_max_body_size", Size, "0", "nginx_http_client_max_body_size"),
    mapped("nginx_proxy_client_body_buffer_size", Size, "64k", "nginx_http_client_body_buffer_size"),
    mapped("nginx_proxy_client_body_temp_path", Text, "client_body_temp", "nginx_http_client_body_temp_path"),
    mapped("nginx_proxy_client_header_timeout", Time, "60s", "nginx_http_client_header_timeout"),
    mapped("nginx_proxy_client_body_timeout", Time, "60s", "nginx_http_client_body_timeout"),
    mapped("nginx_proxy_send_timeout", Time, "60s", "nginx_http_send_timeout"),
    mapped("nginx_proxy_keepalive_timeout", Text, "75s", "nginx_http_keepalive_timeout"),
    mapped("nginx_proxy_keepalive_requests", Whole, "10000", "nginx_http_keepalive_requests"),
    mapped("nginx_proxy_large_client_header_buffers", Text, "4 8k", "nginx_http_large_client_header_buffers"),
    inert("nginx_http_charset", Text, "UTF-8", "Character set added to responses.", "text without a charset is marked as UTF-8, Kong's default"),

    // TLS.
    effective("ssl_cert", Pem, "", "Certificates clients are shown by default: one, or two with keys of different types."),
    effective("ssl_cert_key", PemKey, "", "Private keys of ssl_cert."),
    effective("ssl_cipher_suite", Choice(&["modern", "intermediate", "old", "fips", "custom"]), "intermediate", "Ciphers and TLS versions clients may use."),
    effective("ssl_ciphers", Text, "", "Ciphers, where the suite is custom."),
    effective("ssl_protocols", Text, "TLSv1.2 TLSv1.3", "TLS versions clients may use, where the suite is custom."),
    effective("ssl_prefer_server_ciphers", Flag, "on", "Whether our order of ciphers counts, where the suite is custom."),
    inert("ssl_dhparam", Pem, "", "Diffie-Hellman parameters.", "keys are agreed on with elliptic curves only"),
    effective("ssl_session_tickets", Flag, "on", "Whether sessions resume by ticket."),
    inert("ssl_session_timeout", Text, "1d", "How long a session may be resumed.", "tickets last as long as the library lets them"),
    inert("ssl_session_cache_size", Size, "10m", "Memory for sessions.", "sessions are kept by clients, in tickets"),
    inert("admin_ssl_cert", Pem, "", "Certificates of the Admin API.", NO_TLS_LISTENER),
    inert("admin_ssl_cert_key", PemKey, "", "Private keys of admin_ssl_cert.", NO_TLS_LISTENER),
    inert("status_ssl_cert", Pem, "", "Certificates of the status listener.", NO_TLS_LISTENER),
    inert("status_ssl_cert_key", PemKey, "", "Private keys of status_ssl_cert.", NO_TLS_LISTENER),
    inert("debug_ssl_cert", Pem, "", "Certificates of the debug listener.", NO_TLS_LISTENER),
    inert("debug_ssl_cert_key", PemKey, "", "Private keys of debug_ssl_cert.", NO_TLS_LISTENER),
    effective("client_ssl", Flag, "off", "Whether upstreams that ask for a certificate are shown one where their service names none."),
    effective("client_ssl_cert", Pem, "", "Certificate shown to them."),
    effective("client_ssl_cert_key", PemKey, "", "Private key of client_ssl_cert."),
    effective("nginx_proxy_proxy_ssl_verify", Flag, "off", "Whether certificates of upstreams are verified where tls_verify of a service is null."),
    effective("nginx_proxy_proxy_ssl_verify_depth", Whole, "1", "Intermediate certificates allowed where tls_verify_depth of a service is null."),
    effective("nginx_proxy_proxy_ssl_trusted_certificate", Pem, "", "Authorities trusted where ca_certificates of a service is null; unset, those of lua_ssl_trusted_certificate."),
    mapped("nginx_http_proxy_ssl_verify", Flag, "off", "nginx_proxy_proxy_ssl_verify"),
    mapped("nginx_http_proxy_ssl_verify_depth", Whole, "1", "nginx_proxy_proxy_ssl_verify_depth"),
    mapped("nginx_http_proxy_ssl_trusted_certificate", Pem, "", "nginx_proxy_proxy_ssl_trusted_certificate"),
    effective("lua_ssl_trusted_certificate", List, "system", "Authorities trusted by services without ca_certificates: PEM, base64 of it, paths, and `system` for those of the system."),
    inert("lua_ssl_verify_depth", Whole, "1", "Intermediates allowed on outbound connections.", "nginx_proxy_proxy_ssl_verify_depth is for upstreams, and the link compares whole certificates"),
    inert("lua_ssl_protocols", Text, "TLSv1.2 TLSv1.3", "TLS versions of outbound connections.", "the link speaks TLS 1.3 only"),

    // Logs.
    effective("proxy_access_log", Log, "logs/access.log", "Where requests of clients are logged; in the foreground, unset, stdout."),
    effective("proxy_error_log", Log, "logs/error.log", "Where everything else is logged; in the foreground, unset, stderr."),
    effective("admin_access_log", Log, "logs/admin_access.log", "Where requests of the Admin API are logged; in the foreground, unset, stdout."),
    effective("admin_error_log", Log, "logs/error.log", "Where the Admin API logs; in the foreground, unset, stderr."),
    inert("status_access_log", Log, "off", "Where requests of the status listener are logged.", "they are not logged"),
    inert("status_error_log", Log, "logs/status_error.log", "Where the status listener logs.", "it logs to proxy_error_log"),
    inert("proxy_stream_access_log", Log, "logs/access.log", "Where streams are logged.", NO_STREAMS),
    inert("proxy_stream_error_log", Log, "logs/error.log", "Where errors of streams are logged.", NO_STREAMS),
    inert("admin_gui_access_log", Log, "logs/admin_gui_access.log", "Where requests of the web interface are logged.", NO_MANAGER),
    inert("admin_gui_error_log", Log, "logs/admin_gui_error.log", "Where the web interface logs.", NO_MANAGER),

    // The web interface.
    inert("admin_gui_listen", Listen, "0.0.0.0:8002, 0.0.0.0:8445 ssl", "Where the web interface is served.", NO_MANAGER),
    inert("admin_gui_url", List, "", "Addresses the web interface is reached at.", NO_MANAGER),
    inert("admin_gui_path", Text, "/", "Path the web interface is under.", NO_MANAGER),
    inert("admin_gui_api_url", Text, "", "Address of the Admin API as a browser sees it.", NO_MANAGER),
    inert("admin_gui_csp_header", Flag, "off", "Whether a content security policy is sent.", NO_MANAGER),
    inert("admin_gui_ssl_cert", Pem, "", "Certificates of the web interface.", NO_MANAGER),
    inert("admin_gui_ssl_cert_key", PemKey, "", "Private keys of admin_gui_ssl_cert.", NO_MANAGER),

    // Names.
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

    // Plugins, vaults, filters, tracing.
    inert("plugins", List, "bundled", "Plugins that may be used.", NO_PLUGINS),
    inert("pluginserver_names", List, "", "Servers of plugins outside this process.", NO_PLUGINS),
    inert("vaults", List, "bundled", "Vaults that may be used.", NO_VAULTS),
    only("wasm", Flag, "off", &["off", "false"], "WebAssembly filters.", NO_WASM),
    inert("wasm_filters", List, "bundled,user", "Filters that may be used.", NO_WASM),
    inert("wasm_filters_path", Path, "", "Directory of filters.", NO_WASM),
    inert("wasm_dynamic_module", Path, "", "nginx module that runs filters.", NO_WASM),
    inert("tracing_instrumentations", List, "off", "What is traced.", NO_TRACING),
    inert("tracing_sampling_rate", Number, "0.01", "Share of requests traced.", NO_TRACING),
    inert("opentelemetry_tracing", List, "off", "What is traced.", NO_TRACING),
    inert("opentelemetry_tracing_sampling_rate", Number, "0.01", "Share of requests traced.", NO_TRACING),

    // Parts of Kong's machine that this one does not have.
    inert("host_ports", List, "", "Ports outside a container, by port inside.", "port_maps says it"),
    inert("openresty_path", Path, "", "Where OpenResty is installed.", NO_NGINX),
    inert("lua_package_path", Text, "./?.lua;./?/init.lua;", "Where Lua modules are looked for.", NO_LUA),
    inert("lua_package_cpath", Text, "", "Where native Lua modules are looked for.", NO_LUA),
    inert("lua_socket_pool_size", Whole, "256", "Connections a Lua socket pool keeps.", NO_LUA),
    inert("lua_max_req_headers", Whole, "100", "Request headers Lua code is shown.", NO_LUA),
    inert("lua_max_resp_headers", Whole, "100", "Response headers Lua code is shown.", NO_LUA),
    inert("lua_max_uri_args", Whole, "100", "Query arguments Lua code is shown.", NO_LUA),
    inert("lua_max_post_args", Whole, "100", "Form arguments Lua code is shown.", NO_LUA),
    inert("untrusted_lua", Choice(&["on", "off", "sandbox"]), "sandbox", "Whether configuration may carry Lua code.", NO_LUA),
    inert("untrusted_lua_sandbox_requires", List, "", "Lua modules such code may load.", NO_LUA),
    inert("untrusted_lua_sandbox_environment", List, "", "Lua variables such code may see.", NO_LUA),

    // Kong's enterprise edition: not ours to have, but not ours to drop in silence either.
    only("enforce_rbac", Text, "off", &["off"], "Who may use the Admin API.", ENTERPRISE),
    refused("admin_gui_auth", Text, "Who may use the web interface.", ENTERPRISE),
    only("keyring_enabled", Flag, "off", &["off", "false"], "Encryption of the database.", ENTERPRISE),
    only("fips", Flag, "off", &["off", "false"], "Certified cryptography only.", ENTERPRISE),
    refused("cluster_allowed_common_names", List, "Names data planes' certificates may have.", ENTERPRISE),
];

/// The families of made-up names. The first that holds a name counts.
pub static FAMILIES: &[Family] = &[
    Family { prefix: "nginx_", suffix: "_allow", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_deny", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_satisfy", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_auth_basic", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_auth_request", standing: Refused(OPEN_DOOR) },
    Family { prefix: "nginx_", suffix: "_ssl_verify_client", standing: Refused(OPEN_DOOR) },
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

const fn effective(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Property {
    Property { name, kind, default, standing: Effective, meaning }
}

const fn mapped(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    to: &'static str,
) -> Property {
    Property { name, kind, default, standing: Mapped(to), meaning: to }
}

const fn inert(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
    why: &'static str,
) -> Property {
    Property { name, kind, default, standing: Inert(why), meaning }
}

const fn only(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    values: &'static [&'static str],
    meaning: &'static str,
    why: &'static str,
) -> Property {
    Property { name, kind, default, standing: Only(values, why), meaning }
}

const fn refused(
    name: &'static str,
    kind: Kind,
    meaning: &'static str,
    why: &'static str,
) -> Property {
    Property { name, kind, default: "", standing: Refused(why), meaning }
}
