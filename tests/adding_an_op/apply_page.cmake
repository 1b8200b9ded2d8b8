# cmake -DSOURCE=... -DOUT=... -P apply_page.cmake: copies of ir/ops.def and ir/ops/activation.cpp with the two code
# blocks of docs/adding_an_op.md in them.
file(READ ${SOURCE}/docs/adding_an_op.md page)

# The next block of C++ of the page, which is shortened to what follows it.
macro(take_block result)
  string(FIND "${page}" "```cpp\n" begin)
  if(begin EQUAL -1)
    message(FATAL_ERROR "docs/adding_an_op.md: a block of C++ is missing")
  endif()
  math(EXPR begin "${begin} + 7")
  string(SUBSTRING "${page}" ${begin} -1 page)
  string(FIND "${page}" "```" end)
  string(SUBSTRING "${page}" 0 ${end} ${result})
  math(EXPR end "${end} + 3")
  string(SUBSTRING "${page}" ${end} -1 page)
endmacro()

# Writes a copy of a source with text before its last line.
function(insert file last text)
  file(READ ${SOURCE}/${file} source)
  string(FIND "${source}" "${last}" at REVERSE)
  if(at EQUAL -1)
    message(FATAL_ERROR "${file}: no line ${last}")
  endif()
  string(SUBSTRING "${source}" 0 ${at} before)
  file(WRITE ${OUT}/${file} "${before}${text}\n${last}\n")
endfunction()

take_block(name)
take_block(entry)
insert(ir/ops.def "#undef GRADC_OP_FAMILY" "${name}")
insert(ir/ops/activation.cpp "}  // namespace gradc::ops" "${entry}")
