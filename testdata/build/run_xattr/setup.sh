mkdir -p tools/tools
cp "$(command -v setfattr)" tools/tools/
ldd "$(command -v setfattr)" | sed -n -e "s/.*=> \(\/[^ ]*\).*/\1/p" -e "s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p" | while read -r l; do mkdir -p "tools$(dirname "$l")"; cp -L "$l" "tools$l"; done
mv tools/lib tools/.l 2>/dev/null && mkdir -p tools/usr && cp -a tools/.l tools/usr/lib && rm -r tools/.l || true
