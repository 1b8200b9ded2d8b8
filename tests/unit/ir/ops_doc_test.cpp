// docs/ops.md is what the op table says. GRADC_UPDATE=1 in the environment rewrites it.
#include "ir/ops_doc.h"

#include "ir/op.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace gradc {
namespace {

TEST(OpsDoc, PageIsUpToDate) {
  const std::string path = std::string(GRADC_SOURCE_DIR) + "/docs/ops.md";
  if (std::getenv("GRADC_UPDATE") != nullptr) std::ofstream(path) << ops_markdown();
  std::stringstream page;
  page << std::ifstream(path).rdbuf();
  EXPECT_EQ(page.str(), ops_markdown()) << "run with GRADC_UPDATE=1 to rewrite " << path;
}

TEST(OpsDoc, NamesEveryOp) {
  const std::string page = ops_markdown();
  for (const OpDef* op : all_ops())
    EXPECT_NE(page.find("| `" + std::string(op->name) + "` |"), std::string::npos) << op->name;
}

}  // namespace
}  // namespace gradc
