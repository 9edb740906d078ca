// The filters on sequences (filters_sequence.cc), for the table in filters.cc.
#pragma once

#include "files/jinja/python.h"

namespace bitkerf::jinja {

Value filter_length(Run& run, const Value& value, const Given& given);
Value filter_join(Run& run, const Value& value, const Given& given);
Value filter_items(Run& run, const Value& value, const Given& given);
Value filter_dictsort(Run& run, const Value& value, const Given& given);
Value filter_list(Run& run, const Value& value, const Given& given);
Value filter_first(Run& run, const Value& value, const Given& given);
Value filter_last(Run& run, const Value& value, const Given& given);
Value filter_map(Run& run, const Value& value, const Given& given);
Value filter_select(Run& run, const Value& value, const Given& given);
Value filter_reject(Run& run, const Value& value, const Given& given);
Value filter_selectattr(Run& run, const Value& value, const Given& given);
Value filter_rejectattr(Run& run, const Value& value, const Given& given);
Value filter_sort(Run& run, const Value& value, const Given& given);
Value filter_unique(Run& run, const Value& value, const Given& given);
Value filter_min(Run& run, const Value& value, const Given& given);
Value filter_max(Run& run, const Value& value, const Given& given);
Value filter_sum(Run& run, const Value& value, const Given& given);
Value filter_reverse(Run& run, const Value& value, const Given& given);
Value filter_batch(Run& run, const Value& value, const Given& given);

}  // namespace bitkerf::jinja
