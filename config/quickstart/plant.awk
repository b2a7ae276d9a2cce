# plant.awk - one second of the quick start's plant: its messages on stdout, each sample that they hold in the file `ledger`.
#
#   second, duration  which second of how many     epoch, iso   when it began: ms since 1970, and "2026-11-24T11:00:00"
#   tags              of every Influx line, for Kafka           mode   mqtt: "TOPIC<tab>MESSAGE" lines, each a message
#                                                                      kafka: messages that end with \036
# A line of the ledger is "METRIC VALUE TIME": METRIC as /api/v1/export prints it, TIME in ms, or - where the message has none and
# its arrival counts. Values depend on the time alone, so that a second is one call.
function noise(width) { return (rand() - 0.5) * 2 * width }
function digits(value, places) { return sprintf("%.15g", sprintf("%." places "f", value)) }
function heat(x) { x /= duration; return x < 0.4 || x > 0.9 ? 0 : (x < 0.7 ? (x - 0.4) * 130 : (0.9 - x) * 195) }

function sample(name, labels, value, time) { print "{\"__name__\":\"" name "\"" labels "} " value " " time >ledger }
function label(name, value) { return ",\"" name "\":\"" value "\"" }
function send(topic, payload) { print topic "\t" payload }

# A machine of line B has a bearing that runs hot after two fifths of the time, and is cooled down again. Ten values each
# time, as a line of Influx fields.
function machine_fields(id, phase, x, labels, ms,    hot, wave, n, i, value, fields) {
  hot = id == "B3" ? heat(x) : 0
  wave = sin(2 * pi * x / 40 + phase)
  value[n = 1] = "temperature=" digits(58 + 4 * wave + noise(0.4) + hot, 1)
  value[++n] = "pressure=" digits(6.2 + 0.15 * wave + noise(0.02), 3)
  value[++n] = "vibration=" digits(0.8 + hot / 20 + noise(0.1), 3)
  value[++n] = "speed=" digits(1480 + noise(6), 0)
  value[++n] = "power=" digits(11.5 + 2 * wave + noise(0.2), 2)
  value[++n] = "current=" digits(21 + 3.5 * wave + noise(0.3), 2)
  value[++n] = "oil=" digits(82 - x / 90, 1)
  value[++n] = "pieces=" int(x / 3.4 + phase)
  value[++n] = "energy=" int(x * 3.2 + 1000 * phase)
  value[++n] = "state=" (hot > 25 ? 2 : 1)
  fields = ""
  for (i = 1; i <= n; i++) {
    split(value[i], part, "=")
    sample("machine_" part[1], labels, part[2], ms)
    fields = fields (i > 1 ? "," : "") value[i] (i > 7 ? "i" : "") # the last three are integers
  }
  return fields
}

# Kafka: a gateway that sends Influx lines, one message a machine and second.
function kafka_plant(    l, m, k, line, id, labels, run, own, ms, place) {
  own = split(tags, tag, /[=,]/)
  run = own > 2 ? label(tag[3], tag[4]) : ""
  for (l = 0; l < 3; l++) {
    line = substr("ABC", l + 1, 1)
    for (m = 1; m <= 8; m++) {
      id = line m
      labels = label("line", line) label("machine", id) run label(tag[1], tag[2])
      for (k = 0; k < 5; k++) {
        ms = digits(epoch + k * 200, 0)
        print "machine," tags ",line=" line ",machine=" id " " machine_fields(id, l * 8 + m, second + k / 5, labels, ms) " " ms
      }
      printf "\036"
    }
    place = label("line", line) run label(tag[1], tag[2])
    hall(place, epoch)
    print "hall," tags ",line=" line " temperature=" climate[1] ",humidity=" climate[2] ",particles=" climate[3] " " epoch
    printf "\036"
  }
  if (is_alarm_new()) {
    labels = label("code", "E42") label("line", "B") label("machine", "B3") run label(tag[1], tag[2]) label("text", "bearing hot")
    sample("alarm_active", labels, alarm(), epoch)
    print "alarm," tags ",line=B,machine=B3,code=E42,text=bearing\\ hot active=" alarm() " " epoch
    printf "\036"
  }
}
function hall(labels, ms) {
  climate[1] = digits(21 + sin(2 * pi * second / 300), 2)
  climate[2] = digits(45 + noise(1), 1)
  climate[3] = digits(900 + noise(80), 0)
  sample("hall_temperature", labels, climate[1], ms)
  sample("hall_humidity", labels, climate[2], ms)
  sample("hall_particles", labels, climate[3], ms)
}
function alarm() { return heat(second) > 25 ? 1 : 0 }
function is_alarm_new() { return (heat(second) > 25) != (second && heat(second - 1) > 25) }

# MQTT: every device as it is, its place in the topic.
function mqtt_plant(    l, m, k, line, id, labels, ms, lines, place) {
  for (l = 0; l < 3; l++) {
    line = substr("ABC", l + 1, 1)
    lines = "plants/north/lines/" line
    for (m = 1; m <= 4; m++) {
      id = line m
      labels = label("line", line) label("machine", id) label("plant", "north")
      for (k = 0; k < 5; k++) {
        ms = digits(epoch + k * 200, 0)
        send(lines "/machines/" id, "machine " machine_fields(id, l * 4 + m, second + k / 5, labels, ms) " " ms)
      }
    }
    hall(label("line", line) label("plant", "north"), epoch)
    send(lines "/hall", "{\"ts\":" epoch ",\"temperature\":" climate[1] ",\"humidity\":" climate[2] ",\"particles\":" climate[3] "}")
  }
  if (is_alarm_new()) {
    labels = label("code", "E42") label("line", "B") label("machine", "B3") label("plant", "north") label("text", "bearing hot")
    sample("alarm_active", labels, alarm(), epoch)
    send("plants/north/lines/B/machines/B3/alarm", \
         "{\"ts\":" epoch ",\"code\":\"E42\",\"text\":\"bearing hot\",\"active\":" (alarm() ? "true" : "false") "}")
  }
  zigbee("cold-store", 4.2)
  zigbee("paint-shop", 22.5)
  shelly("pump-1", 380)
  shelly("fan-2", 95)
  tasmota("compressor", 2140)
}
# Zigbee2MQTT, told to send last_seen
function zigbee(device, mean,    labels, temperature, humidity, quality) {
  labels = label("device", device)
  temperature = digits(mean + noise(0.3), 2)
  humidity = digits(56 + noise(2), 2)
  quality = digits(105 + noise(20), 0)
  sample("zigbee_battery", labels, 97.5, epoch)
  sample("zigbee_humidity", labels, humidity, epoch)
  sample("zigbee_linkquality", labels, quality, epoch)
  sample("zigbee_temperature", labels, temperature, epoch)
  send("zigbee2mqtt/" device, "{\"battery\":97.5,\"humidity\":" humidity ",\"last_seen\":\"" iso sprintf(".%03dZ", epoch % 1000) \
    "\",\"linkquality\":" quality ",\"temperature\":" temperature "}")
}
# Shelly of the first generation: bare numbers, one a topic
function shelly(device, mean,    labels, power, energy) {
  labels = label("device", device) label("channel", "0") # VictoriaMetrics puts names like device, host and job first
  power = digits(mean + noise(8), 2)
  energy = digits(120000 + mean * second / 60, 0)
  sample("power", labels, power, "-")
  sample("energy", labels, energy, "-")
  send("shellies/" device "/emeter/0/power", power)
  send("shellies/" device "/emeter/0/energy", energy)
}
# Tasmota: its Time has no zone, so the arrival counts
function tasmota(device, mean,    labels, power, total, voltage) {
  labels = label("device", device)
  power = digits(mean + noise(60), 0)
  total = digits(1305.522 + mean * second / 3600000, 3)
  voltage = digits(231 + noise(2), 0)
  sample("tasmota_ENERGY_Power", labels, power, "-")
  sample("tasmota_ENERGY_Total", labels, total, "-")
  sample("tasmota_ENERGY_Voltage", labels, voltage, "-")
  send("tele/" device "/SENSOR", "{\"Time\":\"" iso "\",\"ENERGY\":{\"Total\":" total ",\"Power\":" power ",\"Voltage\":" voltage "}}")
}

BEGIN {
  srand(second + 1)
  pi = 3.14159265
  if (mode == "kafka")
    kafka_plant()
  else
    mqtt_plant()
}
