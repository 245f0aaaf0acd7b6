// Slices the sheets of imagegen into sprites, and makes a clip of each animation. It reads their -unity.json.
// Put it into a folder that is called Editor, once in a project. It needs Unity 2021.2 or newer, and the package
// "2D Sprite" (com.unity.2d.sprite). To get the newest one: imagegen unity-importer
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using UnityEditor;
using UnityEditor.U2D.Sprites;
using UnityEngine;

namespace Imagegen
{
    public class SheetImporter : AssetPostprocessor
    {
        const string Ending = "-unity.json";

        [Serializable] class Index { public int imagegen; public List<Page> textures; public List<Clip> animations; public float fps; }
        [Serializable] class Page { public string image; public int width, height; public List<Part> sprites; }
        [Serializable] class Part { public string name; public float x, y, width, height, pivotX, pivotY; }
        [Serializable] class Clip { public string name, file; public List<string> sprites; }

        // A greater number in a newer script makes Unity import all textures again.
        public override uint GetVersion() => 1;

        // Unity imports a texture: if an index beside it names it, say which sprites it has.
        void OnPreprocessTexture()
        {
            Page page = FindPage(assetPath);
            if (page == null) return;
            var importer = (TextureImporter)assetImporter;
            importer.textureType = TextureImporterType.Sprite;
            importer.spriteImportMode = SpriteImportMode.Multiple;
            importer.alphaIsTransparency = true;
            importer.npotScale = TextureImporterNPOTScale.None;
            int longest = Mathf.NextPowerOfTwo(Mathf.Max(page.width, page.height));
            importer.maxTextureSize = Mathf.Max(importer.maxTextureSize, longest);  // or it would be made smaller
            var factories = new SpriteDataProviderFactories();
            factories.Init();
            ISpriteEditorDataProvider provider = factories.GetSpriteEditorDataProviderFromObject(importer);
            provider.InitSpriteEditorDataProvider();
            // a sprite keeps its ID, so that what uses it goes on using it
            var known = new Dictionary<string, GUID>();
            foreach (SpriteRect one in provider.GetSpriteRects()) known[one.name] = one.spriteID;
            SpriteRect[] rects = page.sprites.Select(part => new SpriteRect
            {
                name = part.name,
                rect = new Rect(part.x, part.y, part.width, part.height),
                alignment = SpriteAlignment.Custom,
                pivot = new Vector2(part.pivotX, part.pivotY),
                spriteID = known.TryGetValue(part.name, out GUID id) ? id : GUID.Generate(),
            }).ToArray();
            provider.SetSpriteRects(rects);
            provider.GetDataProvider<ISpriteNameFileIdDataProvider>()?.SetNameFileIdPairs(
                rects.Select(one => new SpriteNameFileIdPair(one.name, one.spriteID)));
            provider.Apply();
        }

        // An index is new or has changed: slice its textures again, and write its clips.
        static void OnPostprocessAllAssets(string[] imported, string[] deleted, string[] moved, string[] movedFrom)
        {
            foreach (string path in imported.Where(path => path.EndsWith(Ending)))
            {
                Index index = Read(path);
                if (index == null) continue;
                var sprites = new Dictionary<string, Sprite>();
                foreach (Page page in index.textures)
                {
                    string texture = Beside(path, page.image);
                    AssetDatabase.ImportAsset(texture, ImportAssetOptions.ForceUpdate);
                    foreach (Sprite one in AssetDatabase.LoadAllAssetsAtPath(texture).OfType<Sprite>()) sprites[one.name] = one;
                }
                foreach (Clip animation in index.animations) Write(animation, index.fps, sprites, path);
            }
        }

        static void Write(Clip animation, float fps, Dictionary<string, Sprite> sprites, string index)
        {
            // the sheet's name keeps it from clips of other sheets in the folder, and from anybody's own
            string sheet = Path.GetFileName(index).Substring(0, Path.GetFileName(index).Length - Ending.Length);
            string path = Beside(index, sheet + "--" + animation.file + ".anim");
            var clip = AssetDatabase.LoadAssetAtPath<AnimationClip>(path);
            bool isNew = clip == null;
            if (isNew) clip = new AnimationClip();
            clip.frameRate = fps;
            ObjectReferenceKeyframe[] keys = animation.sprites.Where(sprites.ContainsKey).Select((name, number) =>
                new ObjectReferenceKeyframe { time = number / fps, value = sprites[name] }).ToArray();
            EditorCurveBinding binding = EditorCurveBinding.PPtrCurve("", typeof(SpriteRenderer), "m_Sprite");
            AnimationUtility.SetObjectReferenceCurve(clip, binding, keys);
            AnimationClipSettings settings = AnimationUtility.GetAnimationClipSettings(clip);
            settings.loopTime = true;
            AnimationUtility.SetAnimationClipSettings(clip, settings);
            if (isNew) AssetDatabase.CreateAsset(clip, path);
            else EditorUtility.SetDirty(clip);
        }

        static Page FindPage(string texture)
        {
            string folder = Path.GetDirectoryName(texture), name = Path.GetFileName(texture);
            return Directory.GetFiles(folder, "*" + Ending).Select(Read).Where(index => index != null)
                .SelectMany(index => index.textures).FirstOrDefault(page => page.image == name);
        }

        static Index Read(string path)
        {
            Index index = null;
            try { index = JsonUtility.FromJson<Index>(File.ReadAllText(path)); }
            catch (ArgumentException) { }  // it is not JSON
            return index != null && index.imagegen == 1 ? index : null;
        }

        static string Beside(string path, string name) => Path.GetDirectoryName(path).Replace('\\', '/') + "/" + name;
    }
}
