-- wrk: events out of a file of JSON lines, each sent once, `BATCH` in a request (1: a single event as JSON).
-- Environment: EVENTS, a file; OFFSET, where to begin in it; BATCH; KEY. One thread. Ends with one line of JSON, which says
-- where the next slice begins.
local batch = tonumber(os.getenv("BATCH"))
local events = assert(io.open(os.getenv("EVENTS"), "r"))
events:seek("set", tonumber(os.getenv("OFFSET")))
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("KEY")
if batch == 1 then
  wrk.headers["Content-Type"] = "application/json"
else
  wrk.headers["Content-Type"] = "application/x-ndjson"
  wrk.headers["Prefer"] = "return=minimal"
end

local only
function setup(thread) only = thread end

offset = 0
function request()
  local lines = {}
  for at = 1, batch do lines[at] = assert(events:read("*l"), "the events are used up") end
  offset = events:seek()
  return wrk.format(nil, nil, nil, table.concat(lines, "\n"))
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "errors": %d, "p50": %f, "p95": %f, "p99": %f, "offset": %d}\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, only:get("offset")))
end
