// The texts of data/calibration, in the program, so that an installed one has them.
#include "compress/calibration/calibrate.h"

#define EMBED(symbol, file)                                                                                    \
  __asm__(".section .rodata\n"                                                                                 \
          ".global bitkerf_text_" symbol "\n.global bitkerf_text_" symbol "_end\n"                             \
          "bitkerf_text_" symbol ":\n.incbin \"" BITKERF_CALIBRATION_FOLDER "/" file "\"\n"                    \
          "bitkerf_text_" symbol "_end:\n.byte 0\n.previous\n");

EMBED("prose", "prose.txt")
EMBED("code", "code.txt")
EMBED("markdown", "markdown.txt")
EMBED("languages", "languages.txt")

extern "C" {
extern const char bitkerf_text_prose[], bitkerf_text_prose_end[], bitkerf_text_code[], bitkerf_text_code_end[], bitkerf_text_markdown[],
    bitkerf_text_markdown_end[], bitkerf_text_languages[], bitkerf_text_languages_end[];
}

namespace bitkerf {

std::vector<CalibrationText> default_calibration() {
  struct Row {
    const char *name, *first, *last;
    double share;
  };
  const Row rows[] = {
      {"prose", bitkerf_text_prose, bitkerf_text_prose_end, 0.33},
      {"code", bitkerf_text_code, bitkerf_text_code_end, 0.45},
      {"markdown", bitkerf_text_markdown, bitkerf_text_markdown_end, 0.17},
      {"languages", bitkerf_text_languages, bitkerf_text_languages_end, 0.05},
  };
  std::vector<CalibrationText> texts;
  for (const Row& row : rows) texts.push_back({row.name, std::string(row.first, row.last), row.share});
  return texts;
}

}  // namespace bitkerf
