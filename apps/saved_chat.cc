// The file of /save and /load:
//   {"bitkerf_chat": 1, "system": "...", "messages": [{"role": "user", "content": "..."}, ...]}
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "files/json.h"
#include "repl.h"

namespace bitkerf {
namespace {

constexpr JsonLimits kLimits = {.bytes = i64{64} << 20, .depth = 8, .values = 1 << 20};

const std::string& text_in(const nlohmann::json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) fail(Fault::file, "{}: \"{}\" has to be a string", where, key);
  return found->get_ref<const std::string&>();
}

}  // namespace

SavedChat load_chat(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) fail(Fault::file, "{}: is a folder, expected a saved chat", path);
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) fail(Fault::file, "{}: cannot be opened: {}", path, std::strerror(errno));
  std::string text(static_cast<std::size_t>(kLimits.bytes) + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  const nlohmann::json json = parse_json(path, text, kLimits);
  if (!json.is_object() || !json.contains("bitkerf_chat")) fail(Fault::file, "{}: is no saved chat (\"bitkerf_chat\" is missing)", path);
  if (json["bitkerf_chat"] != 1) fail(Fault::file, "{}: is a chat of another version, expected 1", path);
  SavedChat chat;
  chat.system = text_in(json, "system", path);
  const auto messages = json.find("messages");
  if (messages == json.end() || !messages->is_array()) fail(Fault::file, "{}: \"messages\" has to be a list", path);
  for (const nlohmann::json& message : *messages) {
    const std::string where = fmt::format("{}: message {}", path, chat.messages.size() + 1);
    if (!message.is_object()) fail(Fault::file, "{}: has to be an object", where);
    const std::string& role = text_in(message, "role", where);
    const std::string_view expected = chat.messages.size() % 2 == 0 ? "user" : "assistant";
    if (role != expected) fail(Fault::file, "{}: the role has to be \"{}\": the two take turns", where, expected);
    chat.messages.push_back({role, text_in(message, "content", where)});
  }
  if (chat.messages.size() % 2 != 0) fail(Fault::file, "{}: the last message has no answer", path);
  return chat;
}

void save_chat(const std::string& path, const SavedChat& chat) {
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) {
    try {
      load_chat(path);
    } catch (const Error&) {
      fail(Fault::usage, "{}: exists and is no saved chat; it is left as it is", path);
    }
  }
  Json messages = Json::array();
  for (const Message& message : chat.messages) messages.push_back({{"role", message.role}, {"content", message.content}});
  const Json json = {{"bitkerf_chat", 1}, {"system", chat.system}, {"messages", messages}};
  // Written next to it and renamed: never half a file.
  const std::string part = fmt::format("{}.{}.part", path, getpid());
  errno = 0;
  std::ofstream stream(part, std::ios::binary);
  stream << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  stream.close();
  if (!stream || std::rename(part.c_str(), path.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    std::remove(part.c_str());
    fail(Fault::file, "{}: cannot be written: {}", path, reason);
  }
}

}  // namespace bitkerf
