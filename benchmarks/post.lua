-- Posts answers to /v1/responses, each with a response_id of its own. Arguments: the key, "comment" or "plain", a seed.
-- All bodies have one length, so that the head is made once: wrk shares its core with Kafka. At the end it prints one
-- JSON line.

local threads = 0
local body = '{"team":"team-%02d","score":%d,"response_id":"%s%012x","survey":"bench"%s}'

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  local seed = tonumber(arguments[3])
  math.randomseed(seed + number)
  prefix = string.format("%08x-%04x-7%03x-8%03x-", seed % 0xffffffff, math.random(0, 0xffff), math.random(0, 0xfff), number)
  text = ""
  if arguments[2] == "comment" then
    text = ',"comment":"The delivery came two days late, but the person on the phone was kind and quick."'
  end
  local first = string.format(body, 0, 0, prefix, 0, text)
  local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. arguments[1] }
  local whole = wrk.format("POST", "/v1/responses", headers, first)
  head = whole:sub(1, #whole - #first)
  count = 0
end

function request()
  count = count + 1
  return head .. string.format(body, count % 50, count % 10, prefix, count, text)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "refused": %d, "broken": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  ))
end
