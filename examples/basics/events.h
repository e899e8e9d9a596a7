// What the programs of this folder read: one struct for each of the files in data/.
#pragma once

#include <weir/sdk.h>

#include <cstdint>
#include <optional>
#include <string>

struct Click {
  std::string user;
  std::string tier;
  std::string action;
  std::string page;
  weir::EventTime at;
};

struct Purchase {
  std::string user;
  std::int64_t product = 0;
  double amount = 0;
  weir::EventTime at;
};

struct Transaction {
  std::string user;
  std::string action;
  // Of purchases.
  std::optional<double> amount;
  weir::EventTime at;
};

struct Reading {
  std::string sensor;
  std::string kind;
  double value = 0;
  weir::EventTime at;
};
