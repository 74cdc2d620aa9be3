# Installs the library into a scratch prefix and builds examples/counter against it, with find_package and with
# pkg-config. Run by ctest: cmake -DBUILD=... -DSOURCE=... -DWORK=... -DCXX=... -P install_test.cmake
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "${command}: ${status}\n${output}")
  endif()
endfunction()

# It has no agent here and must say so: that it starts at all shows that it was linked.
function(expect_start program)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env --unset=UNDERSTUDY_AGENT ${program}
                  RESULT_VARIABLE status ERROR_VARIABLE error)
  if(NOT status EQUAL 1 OR NOT error MATCHES "no agent")
    message(FATAL_ERROR "${program}: exit status ${status}, ${error}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix --component sdk)

run(${CMAKE_COMMAND} -S ${SOURCE}/client/examples/counter -B ${WORK}/cmake -DCMAKE_PREFIX_PATH=${WORK}/prefix
    -DCMAKE_CXX_COMPILER=${CXX})
run(${CMAKE_COMMAND} --build ${WORK}/cmake)
expect_start(${WORK}/cmake/counter)

set(ENV{PKG_CONFIG_PATH} ${WORK}/prefix/${LIBDIR}/pkgconfig)
execute_process(COMMAND pkg-config --define-variable=prefix=${WORK}/prefix --cflags --libs understudy
                OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${flags}")
run(${CXX} -std=c++20 -o ${WORK}/counter_pc ${SOURCE}/client/examples/counter/main.cc ${flags})
expect_start(${WORK}/counter_pc)
file(REMOVE_RECURSE ${WORK})
