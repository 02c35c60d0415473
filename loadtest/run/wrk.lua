-- What wrk asks, and what it says in the end: `-- METHOD BODY_LENGTH` after the URL.

function init(args)
    wrk.method = args[1]
    if tonumber(args[2]) > 0 then
        wrk.body = string.rep("x", tonumber(args[2]))
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f, '
            .. '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        latency:percentile(99.9) / 1e3, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
