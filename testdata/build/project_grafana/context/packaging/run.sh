#!/bin/sh
exec board
